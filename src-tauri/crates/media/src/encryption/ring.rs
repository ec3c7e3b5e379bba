//! Everybody's keys in one session.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::Aead;

use super::frame::{self, Kind, NONCE_BYTES, Sealed};
use super::keys::Material;

/// How many steps a sender may have ratcheted since its last frame, as Element Call sets it.
const RATCHET_WINDOW: usize = 10;
/// After this many frames in a row that a key did not open, it is taken for wrong until it is set again. Without it
/// each forged frame would cost [`RATCHET_WINDOW`] derivations.
const TOLERATED_FAILURES: u8 = 10;

/// The keys of one encrypted session: one's own, and 256 slots for each other participant.
///
/// Setting a pass phrase derives its key on the spot, tens of milliseconds: not on an async worker.
#[derive(Default)]
pub struct KeyRing {
    slots: RwLock<Slots>,
}

/// Why a frame stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("this is no sealed frame")]
    Malformed,
    #[error("the key with index {0} is not known")]
    NoKey(u8),
    #[error("the key with index {0} does not open it")]
    Refused(u8),
}

#[derive(Default)]
struct Slots {
    own: Option<(u8, Aes128Gcm)>,
    /// Used for everybody who has no key of their own: meetings with one pass phrase.
    shared: HashMap<u8, Slot>,
    theirs: HashMap<String, HashMap<u8, Slot>>,
}

struct Slot {
    material: Material,
    cipher: Aes128Gcm,
    failures: u8,
}

impl Slot {
    fn new(material: Material) -> Self {
        Self {
            cipher: material.cipher(),
            material,
            failures: 0,
        }
    }
}

impl KeyRing {
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on our frames are sealed with this. Whoever rotates keys first gives the others time to receive it.
    pub fn set_own(&self, index: u8, material: &Material) {
        let cipher = material.cipher();
        self.write().own = Some((index, cipher));
    }

    /// What `identity` seals with, under the index that its frames name.
    pub fn set(&self, identity: &str, index: u8, material: Material) {
        let slot = Slot::new(material);
        let mut slots = self.write();
        slots
            .theirs
            .entry(identity.to_owned())
            .or_default()
            .insert(index, slot);
    }

    /// One key for everybody, ourselves included.
    pub fn set_shared(&self, index: u8, material: Material) {
        let slot = Slot::new(material);
        let mut slots = self.write();
        slots.own = Some((index, slot.cipher.clone()));
        slots.shared.insert(index, slot);
    }

    /// Drops the keys of somebody who left.
    pub fn forget(&self, identity: &str) {
        self.write().theirs.remove(identity);
    }

    /// Nothing leaves an encrypted session before this is true.
    pub fn can_seal(&self) -> bool {
        self.read().own.is_some()
    }

    /// `None` while our own key is not set: the frame must not leave.
    pub(crate) fn seal(
        &self,
        kind: Kind,
        nonce: [u8; NONCE_BYTES],
        frame: &[u8],
    ) -> Option<Vec<u8>> {
        let (index, cipher) = self.read().own.clone()?;
        frame::seal(&cipher, index, kind, nonce, frame)
    }

    pub(crate) fn open(
        &self,
        identity: &str,
        kind: Kind,
        frame: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let sealed = Sealed::parse(kind, frame).ok_or(OpenError::Malformed)?;
        self.open_with(identity, sealed.key_index, |cipher| sealed.open(cipher))
    }

    /// Data packets: key index, nonce and ciphertext stand beside each other and nothing stays readable.
    pub(crate) fn seal_data(
        &self,
        nonce: [u8; NONCE_BYTES],
        plain: &[u8],
    ) -> Option<(u8, Vec<u8>)> {
        let (index, cipher) = self.read().own.clone()?;
        Some((index, cipher.encrypt(&nonce.into(), plain).ok()?))
    }

    pub(crate) fn open_data(
        &self,
        identity: &str,
        index: u8,
        nonce: &[u8],
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| OpenError::Malformed)?;
        self.open_with(identity, index, |cipher| {
            cipher.decrypt(&nonce.into(), ciphertext).ok()
        })
    }

    fn open_with(
        &self,
        identity: &str,
        index: u8,
        open: impl Fn(&Aes128Gcm) -> Option<Vec<u8>>,
    ) -> Result<Vec<u8>, OpenError> {
        {
            let slots = self.read();
            let slot = slots.slot(identity, index).ok_or(OpenError::NoKey(index))?;
            if slot.failures > TOLERATED_FAILURES {
                return Err(OpenError::Refused(index));
            }
            if let Some(plain) = open(&slot.cipher) {
                if slot.failures > 0 {
                    drop(slots);
                    self.with_slot(identity, index, |slot| slot.failures = 0);
                }
                return Ok(plain);
            }
        }
        self.with_slot(identity, index, |slot| {
            let ratcheted = std::iter::successors(slot.material.ratcheted(), Material::ratcheted)
                .take(RATCHET_WINDOW)
                .find_map(|material| {
                    let cipher = material.cipher();
                    open(&cipher).map(|plain| (plain, material, cipher))
                });
            if let Some((plain, material, cipher)) = ratcheted {
                *slot = Slot {
                    material,
                    cipher,
                    failures: 0,
                };
                return Some(plain);
            }
            slot.failures = slot.failures.saturating_add(1);
            None
        })
        .flatten()
        .ok_or(OpenError::Refused(index))
    }

    fn with_slot<T>(
        &self,
        identity: &str,
        index: u8,
        change: impl FnOnce(&mut Slot) -> T,
    ) -> Option<T> {
        let mut slots = self.write();
        let slots = &mut *slots;
        let own = slots.theirs.get_mut(identity);
        own.and_then(|keys| keys.get_mut(&index))
            .or_else(|| slots.shared.get_mut(&index))
            .map(change)
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Slots> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn slot(&self, identity: &str, index: u8) -> Option<&Slot> {
        let own = self.theirs.get(identity).and_then(|keys| keys.get(&index));
        own.or_else(|| self.shared.get(&index))
    }
}

/// Says who has keys for nobody to read.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("can_seal", &self.can_seal())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const FRAME: &[u8] = b"an Opus packet";

    fn sealed_by(index: u8, material: &Material) -> Vec<u8> {
        let theirs = KeyRing::new();
        theirs.set_own(index, material);
        theirs
            .seal(Kind::Audio, frame::nonce(1, 2, 3), FRAME)
            .unwrap()
    }

    #[test]
    fn nothing_is_sealed_before_the_own_key_is_set() {
        let ring = KeyRing::new();
        assert!(!ring.can_seal());
        assert_eq!(ring.seal(Kind::Audio, [0; 12], FRAME), None);
        assert_eq!(ring.seal_data([0; 12], FRAME), None);
    }

    #[test]
    fn a_rotated_key_opens_new_frames_while_the_old_one_opens_late_ones() {
        let (old, new) = (Material::raw([1; 16]), Material::raw([2; 16]));
        let ring = KeyRing::new();
        let late = sealed_by(255, &old);
        let fresh = sealed_by(0, &new);
        ring.set("camille", 255, old);
        assert_eq!(
            ring.open("camille", Kind::Audio, &fresh),
            Err(OpenError::NoKey(0))
        );
        ring.set("camille", 0, new);
        assert_eq!(ring.open("camille", Kind::Audio, &fresh).unwrap(), FRAME);
        assert_eq!(ring.open("camille", Kind::Audio, &late).unwrap(), FRAME);
    }

    #[test]
    fn a_sender_that_ratcheted_ten_times_is_followed_and_eleven_times_is_not() {
        let start = Material::raw([1; 16]);
        let after = |steps: usize| {
            std::iter::successors(Some(start.clone()), Material::ratcheted)
                .nth(steps)
                .unwrap()
        };
        let ring = KeyRing::new();
        ring.set("camille", 0, start.clone());
        let too_far = sealed_by(0, &after(11));
        assert_eq!(
            ring.open("camille", Kind::Audio, &too_far),
            Err(OpenError::Refused(0))
        );
        let ten = sealed_by(0, &after(10));
        assert_eq!(ring.open("camille", Kind::Audio, &ten).unwrap(), FRAME);
        // From there the eleventh is one step.
        assert_eq!(ring.open("camille", Kind::Audio, &too_far).unwrap(), FRAME);
    }

    #[test]
    fn a_wrong_key_is_given_up_until_it_is_set_again() {
        let (wrong, right) = (Material::raw([1; 16]), Material::raw([2; 16]));
        let ring = KeyRing::new();
        let frame = sealed_by(3, &right);
        ring.set("camille", 3, wrong);
        for _ in 0..20 {
            assert_eq!(
                ring.open("camille", Kind::Audio, &frame),
                Err(OpenError::Refused(3))
            );
        }
        ring.set("camille", 3, right);
        assert_eq!(ring.open("camille", Kind::Audio, &frame).unwrap(), FRAME);
    }

    #[test]
    fn a_pass_phrase_is_one_key_for_everybody() {
        let ring = KeyRing::new();
        ring.set_shared(0, Material::pass_phrase("un mot de passe"));
        let frame = ring
            .seal(Kind::Audio, frame::nonce(1, 2, 3), FRAME)
            .unwrap();
        assert_eq!(ring.open("anyone", Kind::Audio, &frame).unwrap(), FRAME);
    }

    #[test]
    fn a_key_belongs_to_one_participant() {
        let material = Material::raw([1; 16]);
        let ring = KeyRing::new();
        let frame = sealed_by(0, &material);
        ring.set("camille", 0, material);
        assert_eq!(
            ring.open("somebody else", Kind::Audio, &frame),
            Err(OpenError::NoKey(0))
        );
        ring.forget("camille");
        assert_eq!(
            ring.open("camille", Kind::Audio, &frame),
            Err(OpenError::NoKey(0))
        );
    }

    #[test]
    fn data_is_sealed_and_opened() {
        let ring = KeyRing::new();
        ring.set_shared(7, Material::raw([9; 16]));
        let (index, ciphertext) = ring.seal_data([5; 12], FRAME).unwrap();
        assert_eq!(index, 7);
        assert_eq!(
            ring.open_data("anyone", 7, &[5; 12], &ciphertext).unwrap(),
            FRAME
        );
        assert_eq!(
            ring.open_data("anyone", 7, &[5; 3], &ciphertext),
            Err(OpenError::Malformed)
        );
    }
}
