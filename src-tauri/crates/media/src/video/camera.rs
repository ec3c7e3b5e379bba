//! Cameras of this computer.

#[cfg_attr(target_os = "linux", path = "camera/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "camera/elsewhere.rs")]
mod system;
mod webcam;

use super::source::{CaptureError, PictureFormat, VideoSource};

/// A camera.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Camera {
    /// Stays the same when the camera is plugged in again: keep it as the person's choice.
    pub id: String,
    /// As the system calls it.
    pub name: String,
}

/// What is plugged in now. Waits for the system, five seconds at most: not for an async task.
pub fn cameras() -> Result<Vec<Camera>, CaptureError> {
    system::cameras()
}

/// Opens the chosen camera, or the first one when it is not there or none is chosen. Waits as [`cameras`] does.
pub fn open_camera(
    id: Option<&str>,
    wanted: PictureFormat,
) -> Result<(Camera, Box<dyn VideoSource>), CaptureError> {
    let mut failed = CaptureError::Missing;
    for camera in order(cameras()?, id) {
        match system::open(&camera.id, wanted) {
            Ok(source) => return Ok((camera, source)),
            // Why the best one does not work is what helps.
            Err(error) if failed == CaptureError::Missing => failed = error,
            Err(_) => {}
        }
    }
    Err(failed)
}

fn order(mut cameras: Vec<Camera>, id: Option<&str>) -> Vec<Camera> {
    cameras.sort_by_key(|camera| Some(&*camera.id) != id);
    cameras
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_camera_comes_first_and_the_others_stay_in_order() {
        let camera = |id: &str| Camera {
            id: id.to_owned(),
            name: String::new(),
        };
        let all = || vec![camera("a"), camera("b"), camera("c")];
        let ids = |id| {
            order(all(), id)
                .into_iter()
                .map(|c| c.id)
                .collect::<String>()
        };
        assert_eq!(ids(Some("b")), "bac");
        assert_eq!(ids(Some("gone")), "abc");
        assert_eq!(ids(None), "abc");
    }
}
