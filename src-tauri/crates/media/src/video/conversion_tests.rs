#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::prelude::*;

use super::*;

/// A picture of one colour: limited range, BT.601.
const RED: (u8, u8, u8) = (81, 90, 240);

fn is_red(picture: &Picture) -> bool {
    let near = |plane: &[u8], value: u8| plane.iter().all(|own| own.abs_diff(value) <= 2);
    let (blue, red) = picture.chroma();
    near(picture.luma(), RED.0) && near(blue, RED.1) && near(red, RED.2)
}

fn convert(
    format: PixelFormat,
    size: (usize, usize),
    bytes: &[u8],
    stride: usize,
) -> Option<Picture> {
    let planes = [Plane { bytes, stride }];
    Raw {
        format,
        width: size.0,
        height: size.1,
        planes: &planes,
    }
    .to_picture()
}

#[test]
fn red_stays_red_in_every_format() {
    let (y, u, v) = RED;
    let i420 = [vec![y; 32], vec![u; 8], vec![v; 8]].concat();
    let nv12 = [vec![y; 32], [u, v].repeat(8)].concat();
    for (format, bytes) in [
        (PixelFormat::I420, i420),
        (PixelFormat::Nv12, nv12),
        (PixelFormat::Yuyv, [y, u, y, v].repeat(16)),
        (PixelFormat::Bgrx, [0, 0, 255, 7].repeat(32)),
        (PixelFormat::Rgbx, [255, 0, 0, 7].repeat(32)),
        (PixelFormat::Rgb, [255, 0, 0].repeat(32)),
        (PixelFormat::Bgr, [0, 0, 255].repeat(32)),
    ] {
        let picture = convert(format, (8, 4), &bytes, 0).unwrap();
        assert_eq!((picture.width(), picture.height()), (8, 4));
        assert!(is_red(&picture), "{format:?}");
    }
}

#[test]
fn rows_with_a_gap_are_read_without_it() {
    let (y, u, v) = RED;
    let row = |values: &[u8], count: usize| [values.repeat(count), vec![0; 4]].concat();
    let bgrx = row(&[0, 0, 255, 7], 8).repeat(4);
    assert!(is_red(
        &convert(PixelFormat::Bgrx, (8, 4), &bgrx, 36).unwrap()
    ));
    let yuyv = row(&[y, u, y, v], 4).repeat(4);
    assert!(is_red(
        &convert(PixelFormat::Yuyv, (8, 4), &yuyv, 20).unwrap()
    ));
    let gap = |value: u8, count: usize, rows: usize| {
        [vec![value; count], vec![0; count / 2]]
            .concat()
            .repeat(rows)
    };
    let i420 = [gap(y, 8, 4), gap(u, 4, 2), gap(v, 4, 2)].concat();
    assert!(is_red(
        &convert(PixelFormat::I420, (8, 4), &i420, 12).unwrap()
    ));
    let both = [[u, v].repeat(4), vec![0; 4]].concat().repeat(2);
    let nv12 = [gap(y, 8, 4), both].concat();
    assert!(is_red(
        &convert(PixelFormat::Nv12, (8, 4), &nv12, 12).unwrap()
    ));
}

#[test]
fn planes_that_lie_apart_are_put_together() {
    let (y, u, v) = RED;
    let (luma, blue, red) = (vec![y; 40], vec![u; 12], vec![v; 12]);
    let plane = |bytes, stride| Plane { bytes, stride };
    let raw = Raw {
        format: PixelFormat::I420,
        width: 8,
        height: 4,
        planes: &[plane(&luma, 10), plane(&blue, 6), plane(&red, 6)],
    };
    assert!(is_red(&raw.to_picture().unwrap()));
}

#[test]
fn an_odd_size_loses_its_last_row_and_column() {
    let bgrx = [0, 0, 255, 7].repeat(7 * 5);
    let picture = convert(PixelFormat::Bgrx, (7, 5), &bgrx, 28).unwrap();
    assert_eq!((picture.width(), picture.height()), (6, 4));
    assert!(is_red(&picture));
}

proptest! {
    #[test]
    fn whatever_a_device_gives_is_a_picture_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
        size in (0_usize..80, 0_usize..80),
        stride in 0_usize..200,
        cut in 0_usize..4096,
    ) {
        for format in [
            PixelFormat::I420,
            PixelFormat::Nv12,
            PixelFormat::Yuyv,
            PixelFormat::Bgrx,
            PixelFormat::Rgb,
            PixelFormat::Jpeg,
        ] {
            convert(format, size, &bytes, stride);
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let planes = [first, second, second].map(|bytes| Plane { bytes, stride });
            let raw = Raw { format, width: size.0, height: size.1, planes: &planes };
            raw.to_picture();
        }
    }
}
