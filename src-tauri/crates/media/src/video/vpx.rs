//! libvpx, the only unsafe code of this crate: a real-time VP8 encoder and a decoder.
//!
//! Safety of the whole file: a context is initialised before it is kept, stays in its box (libvpx keeps pointers into
//! it), is used by one thread at a time (`&mut self`), and is destroyed once, on drop. Slices that libvpx hands out
//! are copied before the next call on the same context.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

use vpx_sys::{
    VPX_CODEC_OK, VPX_DECODER_ABI_VERSION, VPX_DL_REALTIME, VPX_EFLAG_FORCE_KF,
    VPX_ENCODER_ABI_VERSION, VPX_FRAME_IS_KEY, vp8e_enc_control_id, vpx_codec_control_,
    vpx_codec_ctx_t, vpx_codec_cx_pkt_kind, vpx_codec_dec_cfg_t, vpx_codec_dec_init_ver,
    vpx_codec_decode, vpx_codec_destroy, vpx_codec_enc_cfg_t, vpx_codec_enc_config_default,
    vpx_codec_enc_config_set, vpx_codec_enc_init_ver, vpx_codec_encode, vpx_codec_err_t,
    vpx_codec_get_cx_data, vpx_codec_get_frame, vpx_codec_vp8_cx, vpx_codec_vp8_dx, vpx_image_t,
    vpx_img_fmt, vpx_img_wrap, vpx_kf_mode, vpx_rc_mode,
};

use super::picture::Picture;

/// libvpx refused; the number is its `vpx_codec_err_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the codec cannot be set up ({0})")]
    Setup(u32),
    #[error("the picture cannot be encoded ({0})")]
    Encode(u32),
    #[error("the frame cannot be decoded ({0})")]
    Decode(u32),
    #[error("the picture has another size than the encoder")]
    Size,
}

/// One encoded VP8 frame.
#[derive(Debug, Clone)]
pub struct EncodedPicture {
    pub data: Vec<u8>,
    pub key_frame: bool,
}

/// Ticks per second of RTP's video clock.
const CLOCK: i32 = 90_000;
/// Speed against quality for calls; measured at 1.25 ms per 640×360 picture, 6 ms per 1280×720.
const CPU_USED: i32 = -6;
/// Largest side that is decoded; a sender may claim 16383.
const MOST_PIXELS: u32 = 4096 * 2304;

pub struct Encoder {
    context: Box<vpx_codec_ctx_t>,
    configuration: vpx_codec_enc_cfg_t,
    width: usize,
    height: usize,
    ticks: i64,
}

// SAFETY: libvpx contexts have no thread affinity; `&mut self` keeps them with one thread at a time.
unsafe impl Send for Encoder {}

impl Encoder {
    /// `bitrate` in bits per second, `rate` in pictures per second.
    pub fn new(width: usize, height: usize, bitrate: u32) -> Result<Self, CodecError> {
        let side = |pixels: usize| u32::try_from(pixels).map_err(|_| CodecError::Size);
        // SAFETY: see the head of this file; `vpx_codec_enc_config_default` fills the whole structure or fails.
        unsafe {
            let codec = vpx_codec_vp8_cx();
            let mut configuration = MaybeUninit::<vpx_codec_enc_cfg_t>::zeroed();
            ok(vpx_codec_enc_config_default(
                codec,
                configuration.as_mut_ptr(),
                0,
            ))
            .map_err(CodecError::Setup)?;
            let mut configuration = configuration.assume_init();
            configuration.g_w = side(width)?;
            configuration.g_h = side(height)?;
            configuration.g_timebase.num = 1;
            configuration.g_timebase.den = CLOCK;
            configuration.g_threads = 1;
            configuration.g_lag_in_frames = 0;
            configuration.rc_end_usage = vpx_rc_mode::VPX_CBR;
            configuration.rc_target_bitrate = bitrate / 1000;
            configuration.rc_min_quantizer = 2;
            configuration.rc_max_quantizer = 56;
            configuration.rc_undershoot_pct = 100;
            configuration.rc_overshoot_pct = 15;
            configuration.rc_buf_initial_sz = 500;
            configuration.rc_buf_optimal_sz = 600;
            configuration.rc_buf_sz = 1000;
            configuration.rc_dropframe_thresh = 0;
            configuration.kf_mode = vpx_kf_mode::VPX_KF_AUTO;
            // Key frames cost ten others: only when somebody asks.
            configuration.kf_max_dist = 3000;
            let mut context = Box::new(MaybeUninit::<vpx_codec_ctx_t>::zeroed().assume_init());
            ok(vpx_codec_enc_init_ver(
                &raw mut *context,
                codec,
                &raw const configuration,
                0,
                VPX_ENCODER_ABI_VERSION.cast_signed(),
            ))
            .map_err(CodecError::Setup)?;
            for (control, value) in [
                (vp8e_enc_control_id::VP8E_SET_CPUUSED, CPU_USED),
                (vp8e_enc_control_id::VP8E_SET_STATIC_THRESHOLD, 1),
                (vp8e_enc_control_id::VP8E_SET_MAX_INTRA_BITRATE_PCT, 900),
            ] {
                vpx_codec_control_(&raw mut *context, control as i32, value);
            }
            Ok(Self {
                context,
                configuration,
                width,
                height,
                ticks: 0,
            })
        }
    }

    /// In bits per second; from the next picture on.
    pub fn set_bitrate(&mut self, bitrate: u32) {
        let target = (bitrate / 1000).max(1);
        if target == self.configuration.rc_target_bitrate {
            return;
        }
        self.configuration.rc_target_bitrate = target;
        // SAFETY: see the head of this file. A refused value leaves the old one.
        unsafe {
            vpx_codec_enc_config_set(&raw mut *self.context, &raw const self.configuration);
        }
    }

    /// `None` when the encoder left the picture out. `ticks` of 1/90 s have passed since the one before.
    pub fn encode(
        &mut self,
        picture: &Picture,
        ticks: u32,
        key_frame: bool,
    ) -> Result<Option<EncodedPicture>, CodecError> {
        if (picture.width(), picture.height()) != (self.width, self.height) {
            return Err(CodecError::Size);
        }
        let flags = if key_frame {
            i64::from(VPX_EFLAG_FORCE_KF)
        } else {
            0
        };
        let at = self.ticks;
        self.ticks += i64::from(ticks.max(1));
        // SAFETY: see the head of this file. `vpx_img_wrap` fills the image, whose planes then point into `picture`:
        // they have the size that was just checked, and the encoder only reads them during the call.
        unsafe {
            let mut image = MaybeUninit::<vpx_image_t>::zeroed();
            let wrapped = vpx_img_wrap(
                image.as_mut_ptr(),
                vpx_img_fmt::VPX_IMG_FMT_I420,
                self.configuration.g_w,
                self.configuration.g_h,
                1,
                picture.y.as_ptr().cast_mut(),
            );
            if wrapped.is_null() {
                return Err(CodecError::Size);
            }
            let mut image = image.assume_init();
            let stride = i32::try_from(self.width).map_err(|_| CodecError::Size)?;
            image.planes[0] = picture.y.as_ptr().cast_mut();
            image.planes[1] = picture.u.as_ptr().cast_mut();
            image.planes[2] = picture.v.as_ptr().cast_mut();
            image.stride[0] = stride;
            image.stride[1] = stride / 2;
            image.stride[2] = stride / 2;
            ok(vpx_codec_encode(
                &raw mut *self.context,
                &raw const image,
                at,
                ticks.max(1).into(),
                flags,
                VPX_DL_REALTIME.into(),
            ))
            .map_err(CodecError::Encode)?;
            let mut whole: Option<EncodedPicture> = None;
            let mut iterator = ptr::null();
            loop {
                let packet = vpx_codec_get_cx_data(&raw mut *self.context, &raw mut iterator);
                if packet.is_null() {
                    return Ok(whole);
                }
                if (*packet).kind != vpx_codec_cx_pkt_kind::VPX_CODEC_CX_FRAME_PKT {
                    continue;
                }
                let frame = &(*packet).data.frame;
                let length = usize::try_from(frame.sz).map_err(|_| CodecError::Size)?;
                let data = std::slice::from_raw_parts(frame.buf.cast::<u8>(), length);
                whole
                    .get_or_insert_with(|| EncodedPicture {
                        data: Vec::with_capacity(data.len()),
                        key_frame: frame.flags & VPX_FRAME_IS_KEY != 0,
                    })
                    .data
                    .extend_from_slice(data);
            }
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: see the head of this file.
        unsafe {
            vpx_codec_destroy(&raw mut *self.context);
        }
    }
}

pub struct Decoder {
    context: Box<vpx_codec_ctx_t>,
}

// SAFETY: as for the encoder.
unsafe impl Send for Decoder {}

impl Decoder {
    pub fn new() -> Result<Self, CodecError> {
        // SAFETY: see the head of this file.
        unsafe {
            let configuration = vpx_codec_dec_cfg_t {
                threads: 1,
                w: 0,
                h: 0,
            };
            let mut context = Box::new(MaybeUninit::<vpx_codec_ctx_t>::zeroed().assume_init());
            ok(vpx_codec_dec_init_ver(
                &raw mut *context,
                vpx_codec_vp8_dx(),
                &raw const configuration,
                0,
                VPX_DECODER_ABI_VERSION.cast_signed(),
            ))
            .map_err(CodecError::Setup)?;
            Ok(Self { context })
        }
    }

    /// `None` when the frame shows nothing. After an error the next frame has to be a key frame.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Option<Picture>, CodecError> {
        // An empty frame means "lost" to libvpx, and a size beyond any screen would only take memory.
        let too_large = crate::rtp::vp8::size(frame)
            .is_some_and(|(width, height)| width.saturating_mul(height) > MOST_PIXELS);
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        if frame.is_empty() || too_large || length == u32::MAX {
            return Err(CodecError::Size);
        }
        // SAFETY: see the head of this file.
        unsafe {
            ok(vpx_codec_decode(
                &raw mut *self.context,
                frame.as_ptr(),
                length,
                ptr::null_mut(),
                0,
            ))
            .map_err(CodecError::Decode)?;
            let mut iterator = ptr::null();
            let image = vpx_codec_get_frame(&raw mut *self.context, &raw mut iterator);
            if image.is_null() {
                return Ok(None);
            }
            Ok(Some(copied(&*image)))
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: see the head of this file.
        unsafe {
            vpx_codec_destroy(&raw mut *self.context);
        }
    }
}

/// # Safety
/// `image` is a decoded I420 image: `d_h` rows of `stride` bytes per plane, half of each for chroma, rounded up.
unsafe fn copied(image: &vpx_image_t) -> Picture {
    let mut picture = Picture::unfilled(image.d_w as usize, image.d_h as usize);
    let (width, height) = (picture.width(), picture.height());
    let planes = [
        (&mut picture.y, width, height),
        (&mut picture.u, width / 2, height / 2),
        (&mut picture.v, width / 2, height / 2),
    ];
    for (plane, (to, width, height)) in planes.into_iter().enumerate() {
        for row in 0..height {
            // SAFETY: `row` and `width` are within the image, and a stride is never shorter than its row.
            unsafe {
                let stride = image.stride[plane] as isize;
                let start = image.planes[plane].offset(row.cast_signed() * stride);
                to.extend_from_slice(std::slice::from_raw_parts(start, width));
            }
        }
    }
    picture
}

fn ok(result: vpx_codec_err_t) -> Result<(), u32> {
    if result == VPX_CODEC_OK {
        Ok(())
    } else {
        Err(result as u32)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rtp::vp8;
    use crate::video::{PatternSource, read_counter};
    use proptest::prelude::*;

    const TICKS: u32 = 3000;

    #[test]
    fn pictures_keep_their_number_through_encoder_and_decoder() {
        let source = PatternSource::new(320, 180, 30);
        let mut encoder = Encoder::new(320, 180, 160_000).unwrap();
        let mut decoder = Decoder::new().unwrap();
        for number in 70_000..70_030 {
            let frame = encoder
                .encode(&source.paint(number), TICKS, false)
                .unwrap()
                .unwrap();
            assert_eq!(frame.key_frame, vp8::is_key_frame(&frame.data));
            let picture = decoder.decode(&frame.data).unwrap().unwrap();
            assert_eq!(read_counter(&picture), Some(number));
        }
    }

    #[test]
    fn a_key_frame_comes_when_it_is_asked_for() {
        let source = PatternSource::new(320, 180, 30);
        let mut encoder = Encoder::new(320, 180, 160_000).unwrap();
        let mut key_frames = Vec::new();
        for number in 0..20 {
            let wanted = number == 10;
            let frame = encoder.encode(&source.paint(number), TICKS, wanted);
            if let Some(frame) = frame.unwrap().filter(|frame| frame.key_frame) {
                assert_eq!(vp8::size(&frame.data), Some((320, 180)));
                key_frames.push(number);
            }
        }
        assert_eq!(key_frames, [0, 10]);
    }

    #[test]
    fn a_picture_of_another_size_is_refused() {
        let mut encoder = Encoder::new(320, 180, 160_000).unwrap();
        let picture = Picture::black(640, 360);
        let result = encoder.encode(&picture, TICKS, false);
        assert!(matches!(result, Err(CodecError::Size)));
    }

    proptest! {
        // Each case takes some ten milliseconds.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn broken_frames_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..300), place: prop::sample::Index) {
            let mut decoder = Decoder::new().unwrap();
            let _ = decoder.decode(&bytes);
            let mut encoder = Encoder::new(64, 64, 100_000).unwrap();
            let picture = PatternSource::new(64, 64, 30).paint(1);
            let mut frame = encoder.encode(&picture, TICKS, true).unwrap().unwrap().data;
            let at = place.index(frame.len());
            frame[at] ^= 0x55;
            let _ = decoder.decode(&frame);
            frame.truncate(at);
            let _ = decoder.decode(&frame);
        }
    }
}
