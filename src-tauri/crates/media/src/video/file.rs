//! Pictures of a file, over and over again.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Picture;
use super::source::{CaptureError, VideoSource};

/// Longest line of a header; the format names no limit.
const LONGEST_LINE: u64 = 1024;
const LONGEST_SIDE: usize = 8192;

/// A YUV4MPEG2 file (`.y4m`) with 4:2:0 pictures, at its own rate, without end.
pub struct FileSource {
    file: BufReader<File>,
    header: Header,
    first_frame: u64,
    started: Option<Instant>,
    shown: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    width: usize,
    height: usize,
    frame: Duration,
}

impl FileSource {
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|_| CaptureError::Missing)?;
        let mut file = BufReader::new(file);
        let header = line(&mut file).and_then(|line| header(&line));
        let header = header.ok_or(CaptureError::Format)?;
        let first_frame = file.stream_position().map_err(|_| CaptureError::File)?;
        Ok(Self {
            file,
            header,
            first_frame,
            started: None,
            shown: 0,
        })
    }

    /// In pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.header.width, self.header.height)
    }

    fn read(&mut self) -> Option<Picture> {
        let start = line(&mut self.file)?;
        if !start.starts_with("FRAME") {
            return None;
        }
        let mut picture = Picture::black(self.header.width, self.header.height);
        for plane in [&mut picture.y, &mut picture.u, &mut picture.v] {
            self.file.read_exact(plane).ok()?;
        }
        Some(picture)
    }
}

impl VideoSource for FileSource {
    fn next(&mut self) -> Result<Option<Picture>, CaptureError> {
        let started = *self.started.get_or_insert_with(Instant::now);
        let due = started + self.header.frame * self.shown;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        self.shown = self.shown.wrapping_add(1);
        if let Some(picture) = self.read() {
            return Ok(Some(picture));
        }
        // At the end, or what follows is none: from the beginning. A file without a single picture is an error.
        self.file
            .seek(SeekFrom::Start(self.first_frame))
            .map_err(|_| CaptureError::File)?;
        self.read().map(Some).ok_or(CaptureError::File)
    }
}

fn line(file: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    file.take(LONGEST_LINE).read_until(b'\n', &mut line).ok()?;
    if line.pop() != Some(b'\n') {
        return None;
    }
    String::from_utf8(line).ok()
}

/// `YUV4MPEG2 W640 H360 F30:1 C420jpeg`: only the sides have to be there.
fn header(line: &str) -> Option<Header> {
    let mut words = line.split(' ');
    if words.next() != Some("YUV4MPEG2") {
        return None;
    }
    let (mut width, mut height, mut rate) = (0, 0, (30_u32, 1_u32));
    for word in words {
        let Some(kind) = word.chars().next() else {
            continue;
        };
        let value = word.get(1..)?;
        match kind {
            'W' => width = value.parse().ok()?,
            'H' => height = value.parse().ok()?,
            'F' => {
                let (pictures, seconds) = value.split_once(':')?;
                rate = (pictures.parse().ok()?, seconds.parse().ok()?);
            }
            // Eight bits, chroma for four pixels.
            'C' if !value.starts_with("420")
                || value.contains('p') && value != "420jpeg" && value != "420paldv" =>
            {
                return None;
            }
            _ => {}
        }
    }
    let side = |side: usize| (2..=LONGEST_SIDE).contains(&side) && side.is_multiple_of(2);
    let (pictures, seconds) = rate;
    let frame = (Duration::from_secs(seconds.into())).checked_div(pictures)?;
    // From five pictures per second to a thousand.
    let sensible = Duration::from_millis(1)..=Duration::from_millis(200);
    (side(width) && side(height) && sensible.contains(&frame)).then_some(Header {
        width,
        height,
        frame,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::video::{PatternSource, read_counter};

    fn written(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_file_is_shown_over_and_over_again() {
        let pattern = PatternSource::new(320, 180, 30);
        let mut content = b"YUV4MPEG2 W320 H180 F1000:1 Ip A1:1 C420jpeg\n".to_vec();
        for number in 0..3 {
            let picture = pattern.paint(number);
            content.extend_from_slice(b"FRAME\n");
            content.extend_from_slice(picture.luma());
            content.extend_from_slice(picture.chroma().0);
            content.extend_from_slice(picture.chroma().1);
        }
        let file = written(&content);
        let mut source = FileSource::open(file.path()).unwrap();
        assert_eq!(source.size(), (320, 180));
        let numbers: Vec<_> = (0..7)
            .map(|_| read_counter(&source.next().unwrap().unwrap()).unwrap())
            .collect();
        assert_eq!(numbers, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn a_file_without_pictures_is_an_error_and_another_format_too() {
        let empty = written(b"YUV4MPEG2 W320 H180 F30:1\n");
        let mut source = FileSource::open(empty.path()).unwrap();
        assert_eq!(source.next(), Err(CaptureError::File));
        for header in [
            "YUV4MPEG2 W320 H180 C444\n",
            "YUV4MPEG2 W320 H180 C420p10\n",
            "YUV4MPEG2 W99999 H180\n",
            "YUV4MPEG2 W320 H180 F0:1\n",
            "RIFF\n",
            "",
        ] {
            let file = written(header.as_bytes());
            let opened = FileSource::open(file.path()).err();
            assert_eq!(opened, Some(CaptureError::Format), "{header}");
        }
        let missing = FileSource::open(Path::new("/nowhere/film.y4m")).err();
        assert_eq!(missing, Some(CaptureError::Missing));
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(line in "(YUV4MPEG2 )?[ -~]{0,60}") {
            header(&line);
        }
    }
}
