use ::media::{
    CaptureError, Picture, PictureFormat, VideoSource, cameras, open_camera, read_counter,
};

use pipewire::spa::param::video::VideoFormat;

use crate::stage::{Show, Stage, on_stage, until};

const WANTED: PictureFormat = PictureFormat {
    width: 640,
    height: 360,
    rate: 30,
};

fn id(name: &str) -> String {
    format!("pipewire:{name}")
}

fn names() -> Vec<String> {
    let mut names: Vec<_> = cameras().unwrap().into_iter().map(|c| c.name).collect();
    names.sort();
    names
}

async fn plugged_in(expected: &[&str]) {
    until("plugged in", || names() == expected).await;
}

/// The next picture, which has to come soon.
fn picture(source: &mut dyn VideoSource) -> Picture {
    (0..100)
        .find_map(|_| source.next().expect("the camera works"))
        .expect("a picture within twenty seconds")
}

/// Until there are no more pictures.
fn end(source: &mut dyn VideoSource) -> CaptureError {
    (0..100)
        .find_map(|_| source.next().err())
        .expect("the end within twenty seconds")
}

#[test]
fn a_cameras_pictures_come_in_order_and_in_time() {
    on_stage(async |stage: Stage| {
        let _camera = stage.camera("webcam", 640, 360);
        plugged_in(&["webcam"]).await;
        let (camera, mut source) = open_camera(Some(&id("webcam")), WANTED).unwrap();
        assert_eq!(camera.id, id("webcam"));
        let mut numbers = Vec::new();
        while numbers.len() < 60 {
            let picture = picture(&mut *source);
            assert_eq!((picture.width(), picture.height()), (640, 360));
            numbers.push(read_counter(&picture).expect("a number"));
        }
        assert!(
            numbers.windows(2).all(|pair| pair[0] < pair[1]),
            "{numbers:?}"
        );
        // A picture that is replaced by a newer one is missing; on a busy computer some are.
        let span = numbers[59] - numbers[0];
        assert!(span < 90, "60 pictures of {span}");
    });
}

#[test]
fn red_is_red_whatever_format_the_camera_gives() {
    on_stage(async |stage: Stage| {
        let shows = [
            ("I420", Show::red(VideoFormat::I420)),
            ("NV12", Show::red(VideoFormat::NV12)),
            ("YUY2", Show::red(VideoFormat::YUY2)),
            ("BGRx", Show::red(VideoFormat::BGRx)),
            ("RGBA", Show::red(VideoFormat::RGBA)),
            ("RGB", Show::red(VideoFormat::RGB)),
            ("JPEG", Show::red_jpeg()),
        ];
        for (format, show) in shows {
            let name = format!("cam-{format}");
            let _camera = stage.camera_that_shows(&name, show);
            plugged_in(&[&name]).await;
            let (_, mut source) = open_camera(Some(&id(&name)), WANTED).unwrap();
            let picture = picture(&mut *source);
            let (blue, red) = picture.chroma();
            let middle = picture.luma()[640 * 180 + 320];
            let seen = (middle, blue[320 * 90 + 160], red[320 * 90 + 160]);
            let near = |seen: u8, expected: u8| seen.abs_diff(expected) < 4;
            assert!(
                near(seen.0, 81) && near(seen.1, 90) && near(seen.2, 240),
                "{format}: {seen:?}"
            );
        }
    });
}

#[test]
fn a_camera_that_is_pulled_out_ends_and_the_next_one_is_taken() {
    on_stage(async |stage: Stage| {
        let first = stage.camera("first", 640, 360);
        let _second = stage.camera("second", 320, 180);
        plugged_in(&["first", "second"]).await;
        let (_, mut source) = open_camera(Some(&id("first")), WANTED).unwrap();
        picture(&mut *source);
        drop(first);
        assert_eq!(end(&mut *source), CaptureError::Gone);
        plugged_in(&["second"]).await;
        let (camera, mut source) = open_camera(Some(&id("first")), WANTED).unwrap();
        assert_eq!(camera.name, "second");
        assert_eq!(picture(&mut *source).width(), 320);
    });
}

#[test]
fn a_restarted_video_server_ends_the_camera_which_is_opened_again() {
    on_stage(async |stage: Stage| {
        let camera = stage.camera("webcam", 640, 360);
        plugged_in(&["webcam"]).await;
        let (_, mut source) = open_camera(None, WANTED).unwrap();
        picture(&mut *source);
        stage.restart_sound();
        drop(camera);
        let ended = end(&mut *source);
        assert!(
            matches!(ended, CaptureError::NoServer | CaptureError::Gone),
            "{ended:?}"
        );
        let _camera = stage.camera("webcam", 640, 360);
        plugged_in(&["webcam"]).await;
        let (_, mut source) = open_camera(None, WANTED).unwrap();
        picture(&mut *source);
    });
}

#[test]
fn a_computer_without_a_camera_says_so() {
    on_stage(async |_: Stage| {
        assert_eq!(cameras(), Ok(Vec::new()));
        let opened = open_camera(None, WANTED).err();
        assert_eq!(opened, Some(CaptureError::Missing));
    });
}

#[test]
fn a_camera_can_be_opened_by_two_at_once_and_closed_by_one() {
    on_stage(async |stage: Stage| {
        let _camera = stage.camera("webcam", 640, 360);
        plugged_in(&["webcam"]).await;
        let (_, mut one) = open_camera(None, WANTED).unwrap();
        picture(&mut *one);
        let (_, mut two) = open_camera(None, WANTED).unwrap();
        picture(&mut *two);
        drop(one);
        for _ in 0..10 {
            picture(&mut *two);
        }
    });
}
