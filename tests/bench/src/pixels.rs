//! Pictures of a part of the screen, taken often: the same eye for every program.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConfigureWindowAux, ConnectionExt as _, ImageFormat,
    MOTION_NOTIFY_EVENT, MapState, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

/// A part of the screen, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub x: i16,
    pub y: i16,
    pub width: u16,
    pub height: u16,
}

/// What was in an area: four bytes a pixel, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    pub area: Area,
    pub bytes: Vec<u8>,
}

/// A picture and when it was there.
pub struct Moment {
    pub after: Duration,
    pub picture: Picture,
}

pub struct Eye {
    connection: RustConnection,
    root: Window,
}

impl Eye {
    pub fn on(display: &str) -> Result<Self> {
        let (connection, root) = desktop::focus::connect(display)?;
        Ok(Self { connection, root })
    }

    pub fn look(&self, area: Area) -> Result<Picture> {
        let Area {
            x,
            y,
            width,
            height,
        } = area;
        let image = self.connection.get_image(
            ImageFormat::Z_PIXMAP,
            self.root,
            x,
            y,
            width,
            height,
            u32::MAX,
        )?;
        let bytes = image.reply()?.data;
        ensure!(
            bytes.len() == usize::from(width) * usize::from(height) * 4,
            "not a screen with 32 bits a pixel"
        );
        Ok(Picture { area, bytes })
    }

    /// Looks every `period` until `until` after `began`; keeps each picture that differs from the one before.
    pub fn watch(
        &self,
        area: Area,
        began: Instant,
        until: Duration,
        period: Duration,
    ) -> Result<Vec<Moment>> {
        let mut seen: Vec<Moment> = Vec::new();
        loop {
            let picture = self.look(area)?;
            let after = began.elapsed();
            if seen.last().is_none_or(|last| last.picture != picture) {
                seen.push(Moment { after, picture });
            }
            if after > until {
                return Ok(seen);
            }
            std::thread::sleep(period);
        }
    }

    /// The largest window on the screen.
    pub fn largest_window(&self) -> Result<(Window, Area)> {
        let children = self.connection.query_tree(self.root)?.reply()?.children;
        let mut largest: Option<(Window, Area)> = None;
        for window in children {
            let (Ok(seen), Ok(shape)) = (
                self.connection.get_window_attributes(window)?.reply(),
                self.connection.get_geometry(window)?.reply(),
            ) else {
                continue;
            };
            let area = Area {
                x: shape.x,
                y: shape.y,
                width: shape.width,
                height: shape.height,
            };
            let size = |area: &Area| u32::from(area.width) * u32::from(area.height);
            if seen.map_state == MapState::VIEWABLE
                && largest.is_none_or(|(_, other)| size(&other) < size(&area))
            {
                largest = Some((window, area));
            }
        }
        largest.context("there is no window on the screen")
    }

    /// Moves the pointer there and clicks.
    pub fn click(&self, x: i16, y: i16) -> Result<()> {
        const LEFT: u8 = 1;
        let at = |kind: u8, detail: u8| {
            self.connection
                .xtest_fake_input(kind, detail, 0, self.root, x, y, 0)
        };
        at(MOTION_NOTIFY_EVENT, 0)?.check()?;
        at(BUTTON_PRESS_EVENT, LEFT)?.check()?;
        at(BUTTON_RELEASE_EVENT, LEFT)?.check()?;
        Ok(())
    }

    /// Puts a window somewhere and gives it a size, as a window manager would.
    pub fn place(&self, window: Window, area: Area) -> Result<()> {
        let change = ConfigureWindowAux::new()
            .x(i32::from(area.x))
            .y(i32::from(area.y))
            .width(u32::from(area.width))
            .height(u32::from(area.height));
        self.connection.configure_window(window, &change)?.check()?;
        Ok(())
    }
}

/// How much of what is written in `area` of the final picture was already there: the share of pixels that are not
/// background there and look the same in both pictures. Nothing written counts as complete.
pub fn likeness(now: &Picture, last: &Picture, area: Area) -> f64 {
    let background = background(last, area);
    let (mut ink, mut same) = (0_u32, 0_u32);
    for (one, other) in pixels(now, area).zip(pixels(last, area)) {
        if differs(other, background) {
            ink += 1;
            if !differs(one, other) {
                same += 1;
            }
        }
    }
    if ink == 0 {
        1.0
    } else {
        f64::from(same) / f64::from(ink)
    }
}

/// How many pixels of an area are not background.
pub fn ink(picture: &Picture, area: Area) -> usize {
    let background = background(picture, area);
    pixels(picture, area)
        .filter(|pixel| differs(*pixel, background))
        .count()
}

fn background(picture: &Picture, area: Area) -> [u8; 3] {
    let mut counts = std::collections::HashMap::new();
    for pixel in pixels(picture, area) {
        *counts.entry(pixel).or_insert(0_u32) += 1;
    }
    counts
        .into_iter()
        // Of two colours with as many pixels the lighter one, so that the answer is always the same.
        .max_by_key(|(pixel, count)| (*count, *pixel))
        .map(|(pixel, _)| pixel)
        .unwrap_or_default()
}

/// The pixels of an area that is given in screen coordinates, clipped to the picture.
fn pixels(picture: &Picture, area: Area) -> impl Iterator<Item = [u8; 3]> + '_ {
    let whole = picture.area;
    let clip = |from: i16, length: u16, start: i16, limit: u16| {
        let first = usize::try_from(from.saturating_sub(start))
            .unwrap_or_default()
            .min(limit.into());
        first..(first + usize::from(length)).min(limit.into())
    };
    let columns = clip(area.x, area.width, whole.x, whole.width);
    let rows = clip(area.y, area.height, whole.y, whole.height);
    rows.flat_map(move |row| {
        columns
            .clone()
            .map(move |column| (row * usize::from(whole.width) + column) * 4)
    })
    .filter_map(|at| picture.bytes.get(at..at + 3)?.try_into().ok())
}

/// Antialiasing may differ a little between two paintings of the same letter.
fn differs(one: [u8; 3], other: [u8; 3]) -> bool {
    one.iter()
        .zip(other)
        .any(|(one, other)| one.abs_diff(other) > 24)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, reason = "shares of few pixels are exact")]
    use super::{Area, Picture, likeness};

    const ALL: Area = Area {
        x: 10,
        y: 20,
        width: 4,
        height: 1,
    };

    fn picture(greys: [u8; 4]) -> Picture {
        Picture {
            area: ALL,
            bytes: greys
                .iter()
                .flat_map(|grey| [*grey, *grey, *grey, 0])
                .collect(),
        }
    }

    #[test]
    fn what_is_written_counts_and_the_background_does_not() {
        let last = picture([255, 255, 0, 0]);
        assert_eq!(likeness(&picture([255, 255, 255, 255]), &last, ALL), 0.0);
        assert_eq!(likeness(&picture([255, 255, 0, 255]), &last, ALL), 0.5);
        assert_eq!(likeness(&picture([255, 0, 10, 0]), &last, ALL), 1.0);
        let right = Area {
            x: 12,
            width: 1,
            ..ALL
        };
        assert_eq!(likeness(&picture([255, 255, 0, 255]), &last, right), 1.0);
    }
}
