//! Makes the server's reports readable to the stack.
//!
//! livekit-server describes its sources beside its reports on what it sends, and one of the items is the section of the
//! source (SDES type 15, RFC 8843 §15.1). The stack's parser takes every type that it does not know for the end of the
//! list, cannot read on, and throws the whole packet away, reports and all. Without them ours do not say how long a
//! round trip takes, and a server that does not know that repeats nothing in the first 100 ms (`sfu/sequencer`): at five
//! percent of loss pictures stood still for a third of the time.
//!
//! The parser cannot be replaced, and what it gets comes sealed. But the cipher is ours to choose: this one is the
//! stack's own, and gives items of unknown type the name of one that nobody acts on.

use std::sync::Arc;

use rtc::crypto::{
    ActiveKeyExchange, AeadAlgorithm, AeadCipher, BlockCipherAlgorithm, CbcAlgorithm, CbcCipher,
    CryptoAlgorithm, CryptoError, HashAlgorithm, HmacAlgorithm, KeyExchangeAlgorithm, Mac,
    PublicKey, RTCCrypto, RTCCryptoProvider, RTCRandom, SignatureScheme, SigningKey, StreamCipher,
    StreamCipherAlgorithm,
};

/// What of a packet of reports is not sealed (RFC 7714 §9.3): header and source, then the packet's number.
const CLEAR: usize = 8;
const CLEAR_AND_NUMBER: usize = 12;
/// Kinds of packets that reports begin with: of a sender, of a receiver, descriptions.
const FIRST: std::ops::RangeInclusive<u8> = 200..=DESCRIPTIONS;
const DESCRIPTIONS: u8 = 202;
/// The last item that the stack knows (RFC 3550 §6.5), and a remark for people.
const LAST_KNOWN: u8 = 8;
const NOTE: u8 = 7;

/// The stack's own provider, with a cipher that renames.
pub(super) struct Provider(Arc<dyn RTCCryptoProvider>);

struct Cipher(Box<dyn AeadCipher>);

impl Provider {
    pub fn new(stock: Arc<dyn RTCCryptoProvider>) -> Self {
        Self(stock)
    }
}

impl AeadCipher for Cipher {
    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn seal_in_place(
        &mut self,
        nonce: &[u8],
        clear: &[u8],
        data: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.0.seal_in_place(nonce, clear, data, tag)
    }

    fn open_in_place(
        &mut self,
        nonce: &[u8],
        clear: &[u8],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), CryptoError> {
        self.0.open_in_place(nonce, clear, data, tag)?;
        // The handshake's packets and media have other lengths or first bytes.
        let reports = clear.len() == CLEAR_AND_NUMBER
            && clear.first().is_some_and(|first| first >> 6 == 2)
            && clear.get(1).is_some_and(|kind| FIRST.contains(kind));
        if reports {
            let mut whole = [&clear[..CLEAR], data].concat();
            rename_unknown(&mut whole);
            data.copy_from_slice(&whole[CLEAR..]);
        }
        Ok(())
    }
}

/// `rest`: packets of reports one after the other (RFC 3550 §6.1).
fn rename_unknown(mut rest: &mut [u8]) {
    while let [first, kind, high, low, ..] = *rest {
        let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        if length > rest.len() {
            return;
        }
        let (packet, later) = rest.split_at_mut(length);
        if kind == DESCRIPTIONS {
            rename_items(&mut packet[4..], first & 0x1f);
        }
        rest = later;
    }
}

/// RFC 3550 §6.5: each chunk is a source and its items; zeros end it at a boundary of four bytes.
fn rename_items(chunks: &mut [u8], count: u8) {
    let mut at = 0;
    for _ in 0..count {
        at += 4;
        loop {
            match chunks.get_mut(at) {
                None => return,
                Some(0) => break,
                Some(item) => {
                    if *item > LAST_KNOWN {
                        *item = NOTE;
                    }
                }
            }
            let Some(length) = chunks.get(at + 1) else {
                return;
            };
            at += 2 + usize::from(*length);
        }
        at = (at + 4) & !3;
    }
}

impl RTCCryptoProvider for Provider {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self
    }

    fn random(&self) -> &dyn RTCRandom {
        self.0.random()
    }
}

impl RTCCrypto for Provider {
    fn new_aead(
        &self,
        algorithm: AeadAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn AeadCipher>, CryptoError> {
        let stock = self.0.crypto().new_aead(algorithm, key)?;
        Ok(Box::new(Cipher(stock)))
    }

    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.0.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.crypto().hash(algorithm, data)
    }

    fn block_encrypt(
        &self,
        algorithm: BlockCipherAlgorithm,
        key: &[u8],
        block: &mut [u8],
    ) -> Result<(), CryptoError> {
        self.0.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        self.0.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(
        &self,
        algorithm: StreamCipherAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.0.crypto().new_stream_cipher(algorithm, key)
    }

    fn new_cbc(
        &self,
        algorithm: CbcAlgorithm,
        key: &[u8],
    ) -> Result<Box<dyn CbcCipher>, CryptoError> {
        self.0.crypto().new_cbc(algorithm, key)
    }

    fn start_key_exchange(
        &self,
        algorithm: KeyExchangeAlgorithm,
    ) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        self.0.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(
        &self,
        scheme: SignatureScheme,
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.0.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(
        &self,
        scheme: SignatureScheme,
        der: &[u8],
    ) -> Result<Arc<dyn SigningKey>, CryptoError> {
        self.0.crypto().import_signing_key(scheme, der)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        let crypto = self.0.crypto();
        crypto.verify_signature(scheme, key, message, signature)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;
    use proptest::prelude::*;
    use rtc::rtcp::sender_report::SenderReport;

    use super::*;

    /// As livekit-server sends it: a report, and two sources with a name and a section each.
    fn reports() -> Vec<u8> {
        let mut packets = vec![0x80, 200, 0, 6, 0, 0, 0, 5];
        packets.extend([0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1]);
        packets.extend([0x82, 202, 0, 7]);
        packets.extend([0, 0, 0, 5, 1, 2, b'a', b'b', 15, 1, b'3', 0]);
        packets.extend([0, 0, 0, 6, 1, 2, b'a', b'b', 15, 2, b'1', b'2', 0, 0, 0, 0]);
        packets
    }

    fn read(packets: &[u8]) -> Option<u64> {
        let packets = rtc::rtcp::packet::unmarshal(&mut Bytes::copy_from_slice(packets)).ok()?;
        let report = packets.first()?.as_any().downcast_ref::<SenderReport>()?;
        Some(report.ntp_time)
    }

    #[test]
    fn a_report_beside_which_sections_are_described_is_read() {
        let mut packets = reports();
        // The day when this is read as it is, this file can go.
        assert_eq!(read(&packets), None);
        rename_unknown(&mut packets);
        assert_eq!(read(&packets), Some(0x0000_0102_0304_0000));
    }

    #[test]
    fn it_is_read_through_the_cipher_of_the_connection_and_media_pass_untouched() {
        let provider = Provider::new(rtc::crypto::default_provider().unwrap());
        let key = [7; 16];
        let mut cipher = provider.new_aead(AeadAlgorithm::Aes128Gcm, &key).unwrap();
        let (nonce, mut tag) = ([1; 12], [0; 16]);
        let packets = reports();
        let number = [0x80, 0, 0, 1];
        let clear = [&packets[..CLEAR], &number].concat();
        let mut media_header = clear.clone();
        media_header[1] = 96;
        for (clear, readable) in [(clear, true), (media_header, false)] {
            let mut data = packets[CLEAR..].to_vec();
            let sealed = cipher.seal_in_place(&nonce, &clear, &mut data, &mut tag);
            sealed.unwrap();
            let opened = cipher.open_in_place(&nonce, &clear, &mut data, &tag);
            opened.unwrap();
            let whole = [&packets[..CLEAR], &data].concat();
            assert_eq!(read(&whole).is_some(), readable);
            assert_eq!(whole == packets, !readable);
        }
    }

    proptest! {
        #[test]
        fn whatever_was_sealed_keeps_its_length_and_harms_nobody(
            mut packets: Vec<u8>,
            count: u8,
            length in 0_u8..40,
        ) {
            packets.splice(0..0, [0x80 | count & 0x1f, DESCRIPTIONS, 0, length]);
            let before = packets.len();
            rename_unknown(&mut packets);
            prop_assert_eq!(packets.len(), before);
        }
    }
}
