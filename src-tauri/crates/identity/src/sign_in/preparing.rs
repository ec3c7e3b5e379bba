//! Before the browser opens: everything that can fail without the person, fails here.

use url::Url;

use super::SignIn;
use super::exchange::{FIRST, SECOND};
use crate::error::SignInError;
use crate::loopback::Loopback;
use crate::oidc::discovery::{self, Provider};

pub struct Prepared {
    pub provider: Provider,
    pub way_back: WayBack,
    /// The redirect address, registered at the service to the letter.
    pub first: Url,
    /// Where a second leg returns to, without its random part.
    pub second: Url,
}

pub enum WayBack {
    Loopback(Loopback),
    /// The system opens us with the address; it arrives through `Control::deliver_redirect`.
    PrivateScheme,
}

pub async fn prepare(sign_in: &SignIn) -> Result<Prepared, SignInError> {
    // A person who went through password and SMS must not learn then that nothing can be kept.
    sign_in.vault.get(crate::session::KEY).await?;
    let issuer = &sign_in.identity.issuer;
    let provider = discovery::discover(issuer, &sign_in.clients, sign_in.clock.as_ref()).await?;
    let (way_back, first, second) = way_back(sign_in).await.ok_or(SignInError::PortsBusy)?;
    Ok(Prepared {
        provider,
        way_back,
        first,
        second,
    })
}

async fn way_back(sign_in: &SignIn) -> Option<(WayBack, Url, Url)> {
    if let Some(loopback) = Loopback::bind(&sign_in.identity.redirect_ports).await {
        let (first, second) = (loopback.address(FIRST)?, loopback.address(SECOND)?);
        return Some((WayBack::Loopback(loopback), first, second));
    }
    let scheme = sign_in.identity.private_scheme.as_deref()?;
    // RFC 8252 §7.1: a single slash, for there is no authority.
    let address = |path: &str| Url::parse(&format!("{scheme}:{path}")).ok();
    Some((WayBack::PrivateScheme, address(FIRST)?, address(SECOND)?))
}
