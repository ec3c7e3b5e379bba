use ::media::{
    CaptureError, PatternSource, Picture, ScreenKind, VideoSource, open_screen, read_counter,
    screens,
};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, CreateWindowAux, ImageFormat, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use crate::stage::{Stage, on_stage, on_stage_with_a_screen};

/// A window as large as the screen, on which a pattern is painted.
pub struct Painter {
    connection: RustConnection,
    root: u32,
    window: u32,
    brush: u32,
    depth: u8,
    pattern: PatternSource,
}

impl Painter {
    pub fn new() -> Self {
        let (connection, number) = x11rb::connect(None).unwrap();
        let screen = &connection.setup().roots[number];
        let (root, depth, visual) = (screen.root, screen.root_depth, screen.root_visual);
        let window = connection.generate_id().unwrap();
        let aux = CreateWindowAux::new().override_redirect(1);
        let class = WindowClass::INPUT_OUTPUT;
        connection
            .create_window(depth, window, root, 0, 0, 1280, 720, 0, class, visual, &aux)
            .unwrap();
        connection.map_window(window).unwrap();
        let brush = connection.generate_id().unwrap();
        connection
            .create_gc(brush, window, &CreateGCAux::default())
            .unwrap();
        Self {
            connection,
            root,
            window,
            brush,
            depth,
            pattern: PatternSource::new(1280, 720, 30),
        }
    }

    /// The picture of this number, grey.
    pub fn paint(&self, number: u32) {
        let picture = self.pattern.paint(number);
        for (strip, y) in picture
            .luma()
            .chunks_exact(1280 * 40)
            .zip((0..).step_by(40))
        {
            let pixels: Vec<u8> = strip.iter().flat_map(|luma| [*luma; 4]).collect();
            self.connection
                .put_image(
                    ImageFormat::Z_PIXMAP,
                    self.window,
                    self.brush,
                    1280,
                    40,
                    0,
                    y,
                    0,
                    self.depth,
                    &pixels,
                )
                .unwrap();
        }
        self.settle();
    }

    fn point(&self, x: i16, y: i16) {
        let none = x11rb::NONE;
        self.connection
            .warp_pointer(none, self.root, 0, 0, 0, 0, x, y)
            .unwrap();
        self.settle();
    }

    /// Until the server has done it.
    fn settle(&self) {
        self.connection.get_input_focus().unwrap().reply().unwrap();
    }
}

async fn open() -> Box<dyn VideoSource> {
    let screens = screens().unwrap();
    assert_eq!(screens.len(), 1, "{screens:?}");
    assert_eq!(screens[0].kind, ScreenKind::Monitor);
    open_screen(&screens[0].id, 30).await.unwrap()
}

/// The next picture that differs from the one before.
fn change(source: &mut dyn VideoSource) -> Picture {
    (0..200)
        .find_map(|_| source.next().expect("the screen is there"))
        .expect("something changes")
}

#[test]
fn a_screen_shows_what_is_painted_and_nothing_while_nothing_moves() {
    on_stage_with_a_screen(async |_: Stage| {
        let painter = Painter::new();
        painter.paint(1);
        let mut source = open().await;
        let first = change(&mut *source);
        assert_eq!((first.width(), first.height()), (1280, 720));
        assert_eq!(read_counter(&first), Some(1));
        for number in 2..12 {
            assert_eq!(source.next(), Ok(None));
            painter.paint(number);
            // The strips are painted one by one, so a picture in between may be half of each.
            while read_counter(&change(&mut *source)) != Some(number) {}
            while source.next() != Ok(None) {}
        }
    });
}

#[test]
fn the_pointer_is_part_of_the_picture() {
    on_stage_with_a_screen(async |_: Stage| {
        let painter = Painter::new();
        painter.paint(1);
        painter.point(300, 500);
        let mut source = open().await;
        let before = change(&mut *source);
        while source.next() != Ok(None) {}
        painter.point(900, 500);
        let after = change(&mut *source);
        let around = |picture: &Picture, x: usize| -> Vec<u8> {
            let rows = picture.luma().chunks_exact(1280).skip(480).take(40);
            rows.flat_map(|row| row[x - 20..x + 20].to_vec()).collect()
        };
        assert_ne!(around(&before, 300), around(&after, 300));
        assert_ne!(around(&before, 900), around(&after, 900));
        assert_eq!(around(&before, 600), around(&after, 600));
    });
}

#[test]
fn a_screen_ends_with_its_server() {
    on_stage_with_a_screen(async |stage: Stage| {
        let mut source = open().await;
        change(&mut *source);
        stage.end_screen();
        let end = (0..100).find_map(|_| source.next().err());
        assert_eq!(end, Some(CaptureError::Gone));
        assert_eq!(screens(), Err(CaptureError::NoServer));
    });
}

#[test]
fn a_computer_without_a_screen_says_so() {
    on_stage(async |_: Stage| {
        assert_eq!(screens(), Err(CaptureError::NoServer));
        let opened = open_screen("x11:screen", 30).await.err();
        assert_eq!(opened, Some(CaptureError::NoServer));
    });
}
