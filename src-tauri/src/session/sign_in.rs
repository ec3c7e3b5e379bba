//! The ways in: through the system browser, or with a password where the organisation has nothing else.

use std::sync::{Arc, PoisonError};

use chat::Chat;
use identity::{Pages, Phase, SecondLeg, SignIn, SystemClock, Vault};
use organisation::{Address, Following};
use problem::{Problem, Retry};
use url::Url;

use super::account::{self, Account};
use super::{Attempt, Desk, Office, OrganisationSummary, Session};
use crate::words;

impl Office {
    /// Begins a sign-in for `address`; what follows shows in [`Office::session`].
    pub async fn sign_in(office: &Arc<Self>, address: &str) -> Result<(), Problem> {
        office.cancel_sign_in();
        let typed = address.to_owned();
        let address = Address::parse(address).map_err(|error| error.problem())?;
        let (following, current) = office.follow(&address).await?;
        let (Some(identity), Some(chat)) = (
            current.document.identity.clone(),
            current.document.chat.clone(),
        ) else {
            return Err(Problem::new("organisation.badDocument", Retry::Permanent)
                .with("place", "/identity"));
        };
        let summary = current.organisation();
        let vault = office.vault().await?;
        let opener = Arc::clone(office);
        let homeserver = chat.homeserver.clone();
        let second_homeserver = homeserver.clone();
        let attempt = SignIn {
            organisation: address.domain(),
            identity,
            clients: office.clients.clone(),
            vault,
            clock: Arc::new(SystemClock),
            pages: Pages::in_language(words::code(&office.preferences.view())),
            open_browser: Arc::new(move |url| {
                if (opener.open_browser)(url) {
                    Ok(())
                } else {
                    Err(identity::BrowserUnavailable)
                }
            }),
            second_leg: Some(SecondLeg::new(move |back: Url| {
                chat::sso_url(&second_homeserver, chat.identity_provider.as_deref(), &back)
            })),
        }
        .begin();
        let control = attempt.control();
        let this = Arc::clone(office);
        let task = tokio::spawn(async move {
            let mut phases = attempt.phase();
            let shown = this.session.clone();
            let organisation = summary.clone();
            let follow = async move {
                loop {
                    let phase = phases.borrow_and_update().clone();
                    if let Some(session) = Session::of_phase(phase, &organisation) {
                        shown.send_replace(session);
                    }
                    if phases.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            };
            let done = tokio::select! {
                done = attempt.finish() => done,
                () = follow => return,
            };
            let finished = match done {
                Ok(signed_in) => {
                    this.session.send_replace(Session::Completing {
                        organisation: summary,
                    });
                    this.complete(&address, following, &homeserver, signed_in)
                        .await
                }
                Err(error) => Err(error.problem()),
            };
            match finished {
                Ok(desk) => Self::sit_down(&this, desk).await,
                Err(problem) => this.leave_signed_out(Some(typed), Some(problem)),
            }
        });
        office.keep_attempt(Some(control), task);
        Ok(())
    }

    /// For an organisation without a browser sign-in.
    pub async fn sign_in_with_password(
        office: &Arc<Self>,
        address: &str,
        user: &str,
        password: &str,
    ) -> Result<(), Problem> {
        office.cancel_sign_in();
        let typed = address.to_owned();
        let address = Address::parse(address).map_err(|error| error.problem())?;
        let (following, current) = office.follow(&address).await?;
        let chat_at = current
            .document
            .chat
            .clone()
            .ok_or_else(|| Problem::new("organisation.notFound", Retry::Permanent))?;
        let vault = office.vault().await?;
        let summary = current.organisation();
        office.session.send_replace(Session::Completing {
            organisation: summary,
        });
        let signed_in = async {
            let key = vault.store_key(account::STORE).await?;
            let setup = office.chat_setup(&address, *key);
            let chat = Chat::sign_in_password(&chat_at.homeserver, user, password, setup).await?;
            office.remember(&vault, &address, &chat).await?;
            Ok::<_, Problem>(Desk::new(address, following, None, chat))
        };
        match signed_in.await {
            Ok(desk) => {
                Self::sit_down(office, desk).await;
                Ok(())
            }
            Err(problem) => {
                office.leave_signed_out(Some(typed), Some(problem.clone()));
                Err(problem)
            }
        }
    }

    pub fn cancel_sign_in(&self) {
        let attempt = self
            .attempt
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Attempt {
            control: Some(control),
            task,
        }) = attempt
        {
            // The task shows the outcome and ends by itself.
            control.cancel();
            task.detach();
        }
    }

    /// The browser came back by the private scheme instead of the loopback address.
    pub fn deliver_redirect(&self, url: &Url) -> bool {
        let attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        attempt
            .as_ref()
            .and_then(|attempt| attempt.control.as_ref())
            .is_some_and(|control| control.deliver_redirect(url))
    }

    async fn complete(
        &self,
        address: &Address,
        following: Following,
        homeserver: &Url,
        signed_in: identity::SignedIn,
    ) -> Result<Desk, Problem> {
        let vault = self.vault().await?;
        let key = vault.store_key(account::STORE).await?;
        let token = signed_in
            .second
            .get("loginToken")
            .ok_or_else(|| Problem::new("signIn.tokenInvalid", Retry::NeedsUser))?;
        let entered = async {
            let chat =
                Chat::sign_in_token(homeserver, token, self.chat_setup(address, *key)).await?;
            self.remember(&vault, address, &chat).await?;
            Ok::<_, Problem>(chat)
        };
        let chat = match entered.await {
            Ok(chat) => chat,
            Err(problem) => {
                // Half a sign-in must not leave tokens behind that nobody uses.
                signed_in.session.sign_out().await;
                return Err(problem);
            }
        };
        Ok(Desk::new(
            address.clone(),
            following,
            Some(signed_in.session),
            chat,
        ))
    }

    async fn remember(&self, vault: &Vault, address: &Address, chat: &Chat) -> Result<(), Problem> {
        let saved = chat.session().borrow().json.clone();
        vault.set(account::CHAT_SESSION, saved.into()).await?;
        Account {
            organisation: address.domain(),
        }
        .write(&self.folders.current_account())
        .map_err(|_| Problem::new("chat.diskFull", Retry::NeedsUser))
    }
}

/// The phases of a browser sign-in as the window shows them.
impl Session {
    fn of_phase(phase: Phase, organisation: &OrganisationSummary) -> Option<Self> {
        let organisation = organisation.clone();
        match phase {
            Phase::Preparing => None,
            Phase::Browser { url, since } => Some(Self::Browser {
                organisation,
                since: network::clock::ms(since),
                url: url.into(),
            }),
            Phase::Completing => Some(Self::Completing { organisation }),
        }
    }
}
