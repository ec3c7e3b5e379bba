//! What we can send and receive: VP8 and Opus, with the feedback and header extensions that the server uses.

use rtc::peer_connection::configuration::interceptor_registry::configure_simulcast_extension_headers;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_OPUS, MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};

use super::TransportError;
use super::send::{AUDIO_LEVEL, MID};

pub(super) fn media_engine() -> Result<MediaEngine, TransportError> {
    let mut engine = MediaEngine::default();
    let video = [
        (vp8(), 96),
        // The server repeats lost packets in a stream of its own (RFC 4588).
        (
            RTCRtpCodec {
                mime_type: MIME_TYPE_RTX.to_owned(),
                clock_rate: 90_000,
                sdp_fmtp_line: "apt=96".to_owned(),
                ..Default::default()
            },
            97,
        ),
    ];
    for (rtp_codec, payload_type) in video {
        let parameters = RTCRtpCodecParameters {
            rtp_codec,
            payload_type,
        };
        engine.register_codec(parameters, RtpCodecKind::Video)?;
    }
    let sound = RTCRtpCodecParameters {
        rtp_codec: opus(),
        payload_type: 111,
    };
    engine.register_codec(sound, RtpCodecKind::Audio)?;
    // The stack registers `mid` for video alone; without the level there are no active speakers.
    for uri in [AUDIO_LEVEL, MID] {
        let extension = RTCRtpHeaderExtensionCapability {
            uri: uri.to_owned(),
        };
        engine.register_header_extension(extension, RtpCodecKind::Audio, None)?;
    }
    configure_simulcast_extension_headers(&mut engine)?;
    Ok(engine)
}

pub(super) fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1;usedtx=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

pub(super) fn vp8() -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    RTCRtpCodec {
        mime_type: MIME_TYPE_VP8.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: vec![
            feedback("goog-remb", ""),
            feedback("ccm", "fir"),
            feedback("nack", ""),
            feedback("nack", "pli"),
            feedback("transport-cc", ""),
        ],
    }
}
