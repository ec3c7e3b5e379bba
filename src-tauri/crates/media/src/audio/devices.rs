//! Microphones and loudspeakers, and which of them is taken.
//!
//! Sans-I/O: what exists is passed in.
//!
//! ```text
//! wanted device is there ───▶ that one
//! it is not, or none wanted ▶ the system's default ▶ any other ▶ none
//! ```

/// Which way sound goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceKind {
    Microphone,
    Speaker,
}

/// A microphone or a loudspeaker of this computer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoundDevice {
    /// Stays the same when the device is plugged in again: keep it as the person's choice.
    pub id: String,
    /// As the system calls it.
    pub name: String,
    /// The system's own choice.
    pub default: bool,
}

/// What is plugged in now.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SoundDevices {
    pub microphones: Vec<SoundDevice>,
    pub speakers: Vec<SoundDevice>,
}

impl SoundDevices {
    pub fn of(&self, kind: DeviceKind) -> &[SoundDevice] {
        match kind {
            DeviceKind::Microphone => &self.microphones,
            DeviceKind::Speaker => &self.speakers,
        }
    }
}

/// What happened to the devices that are in use.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum SoundEvent {
    /// This device is in use from now on.
    Using {
        kind: DeviceKind,
        device: SoundDevice,
        because: Because,
    },
    /// None is in use, although one is needed. It is tried again by itself.
    Without { kind: DeviceKind, trouble: Trouble },
}

/// Why another device than before is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Because {
    /// It is the first one.
    Started,
    /// Somebody chose it.
    Chosen,
    /// The one before is gone.
    Unplugged,
    /// The chosen one is back.
    Returned,
    /// The system has another default.
    DefaultChanged,
    /// The one before stopped working, or the sound server came back.
    Failed,
}

/// Why there is no sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Trouble {
    #[error("there is no such device")]
    Missing,
    #[error("the system does not let us use it")]
    Refused,
    #[error("another program uses it")]
    Busy,
    #[error("there is no sound server")]
    NoServer,
    #[error("the device does not work")]
    Failed,
}

/// The devices to try, the best one first.
pub(super) fn order<'a>(
    devices: &'a [SoundDevice],
    wanted: Option<&str>,
) -> impl Iterator<Item = &'a SoundDevice> {
    let wanted = devices.iter().find(|device| Some(&*device.id) == wanted);
    let default = devices.iter().find(|device| device.default);
    let best = wanted.or(default);
    let rest = devices.iter().filter(move |device| Some(*device) != best);
    best.into_iter().chain(rest)
}

/// What was in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    pub id: &'a str,
    pub works: bool,
}

/// Whether another device is to be opened now, and why; `None` to stay with what there is.
pub(super) fn change(
    devices: &[SoundDevice],
    wanted: Option<&str>,
    just_chosen: bool,
    before: Option<Before<'_>>,
) -> Option<Because> {
    let Some(before) = before else {
        return Some(if just_chosen {
            Because::Chosen
        } else {
            Because::Started
        });
    };
    if !devices.iter().any(|device| device.id == before.id) {
        return Some(Because::Unplugged);
    }
    if !before.works {
        return Some(Because::Failed);
    }
    let best = order(devices, wanted).next()?;
    if best.id == before.id {
        None
    } else if just_chosen {
        Some(Because::Chosen)
    } else if Some(&*best.id) == wanted {
        Some(Because::Returned)
    } else {
        Some(Because::DefaultChanged)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(id: &str, default: bool) -> SoundDevice {
        SoundDevice {
            id: id.to_owned(),
            name: id.to_uppercase(),
            default,
        }
    }

    #[allow(clippy::unnecessary_wraps)] // as it is passed on
    fn using(id: &str) -> Option<Before<'_>> {
        Some(Before { id, works: true })
    }

    fn ids(devices: &[SoundDevice], wanted: Option<&str>) -> Vec<String> {
        order(devices, wanted)
            .map(|device| device.id.clone())
            .collect()
    }

    #[test]
    fn the_chosen_device_comes_first_then_the_default_then_any() {
        let devices = [
            device("desk", false),
            device("built-in", true),
            device("headset", false),
        ];
        assert_eq!(ids(&devices, Some("headset"))[0], "headset");
        assert_eq!(ids(&devices, Some("gone"))[0], "built-in");
        assert_eq!(ids(&devices, None)[0], "built-in");
        assert_eq!(ids(&devices[..1], None), ["desk"]);
    }

    #[test]
    fn an_unplugged_headset_is_replaced_and_taken_again_when_it_returns() {
        let both = [device("built-in", true), device("headset", false)];
        let wanted = Some("headset");
        assert_eq!(change(&both, wanted, false, using("headset")), None);
        let unplugged = change(&both[..1], wanted, false, using("headset"));
        assert_eq!(unplugged, Some(Because::Unplugged));
        assert_eq!(change(&both[..1], wanted, false, using("built-in")), None);
        let back = change(&both, wanted, false, using("built-in"));
        assert_eq!(back, Some(Because::Returned));
    }

    #[test]
    fn a_choice_is_followed_and_a_new_default_only_without_one() {
        let devices = [device("built-in", true), device("headset", false)];
        let chosen = change(&devices, Some("headset"), true, using("built-in"));
        assert_eq!(chosen, Some(Because::Chosen));
        let default = change(&devices, None, false, using("headset"));
        assert_eq!(default, Some(Because::DefaultChanged));
        assert_eq!(
            change(&devices, Some("headset"), false, using("headset")),
            None
        );
    }

    #[test]
    fn a_device_that_stopped_is_opened_again() {
        let devices = [device("built-in", true)];
        let stopped = Some(Before {
            id: "built-in",
            works: false,
        });
        assert_eq!(
            change(&devices, None, false, stopped),
            Some(Because::Failed)
        );
        assert_eq!(change(&devices, None, false, None), Some(Because::Started));
    }

    proptest! {
        #[test]
        fn each_device_is_tried_once(ids in prop::collection::hash_set("[a-d]{1,2}", 0..6), wanted in "[a-d]{1,2}") {
            let devices: Vec<_> = ids.iter().map(|id| device(id, id.starts_with('a'))).collect();
            let tried: Vec<_> = order(&devices, Some(&wanted)).map(|device| &device.id).collect();
            prop_assert_eq!(tried.len(), devices.len());
            let unique: std::collections::HashSet<_> = tried.iter().collect();
            prop_assert_eq!(unique.len(), devices.len());
        }
    }
}
