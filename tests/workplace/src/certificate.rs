//! The workplace's own certificate authority and the certificate that its web server shows.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};

/// Makes `ca.crt`, `server.crt` (with the authority behind it) and `server.key` in `folder`, and returns the
/// authority as PEM. The authority's key is not kept: nothing else can ever be signed with it.
pub fn make(folder: &Path, domain: &str) -> Result<String> {
    fs::create_dir_all(folder)?;
    let authority = authority("Cordée workplace")?;
    let (chain, key) = leaf(&authority, domain)?;
    fs::write(folder.join("ca.crt"), authority.pem())?;
    fs::write(folder.join("server.crt"), chain)?;
    fs::write(folder.join("server.key"), key)?;
    // The same names, signed by somebody nobody knows: for tests of what a stranger's certificate does.
    let stranger = self::authority("Somebody else")?;
    let (chain, key) = leaf(&stranger, domain)?;
    fs::write(folder.join("stranger.crt"), chain)?;
    fs::write(folder.join("stranger.key"), key)?;
    Ok(authority.pem())
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    CertifiedIssuer::self_signed(params, key).context("cannot make the certificate authority")
}

fn leaf(authority: &CertifiedIssuer<'static, KeyPair>, domain: &str) -> Result<(String, String)> {
    let mut params = CertificateParams::new(vec![
        "localhost".to_owned(),
        domain.to_owned(),
        format!("*.{domain}"),
    ])?;
    params
        .subject_alt_names
        .push(SanType::IpAddress([127, 0, 0, 1].into()));
    params.distinguished_name.push(DnType::CommonName, domain);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem() + &authority.pem(), key.serialize_pem()))
}

/// A month around today: some systems refuse certificates that live longer than 398 days.
fn validity(params: &mut CertificateParams) {
    let now = time::OffsetDateTime::now_utc();
    let day = |at: time::OffsetDateTime| date_time_ymd(at.year(), at.month().into(), at.day());
    params.not_before = day(now - time::Duration::days(2));
    params.not_after = day(now + time::Duration::days(30));
}
