//! The system browser of a home: a real Chromium window on the same screen, in which a person types.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use fantoccini::{Client, Locator};
use serde_json::json;
use workplace::{Person, Workplace};

use crate::driver::{Driver, free_port};
use crate::home::Home;
use crate::wait::{PATIENCE, until};

/// What the Enter key sends (`WebDriver` §17.4.2).
const ENTER: &str = "\u{E007}";

pub struct Browser {
    client: Client,
    driver: Driver,
}

impl Browser {
    /// Opens a window with the person's own profile.
    pub async fn open(home: &Home) -> Result<Self> {
        let port = free_port()?;
        let mut command = home.program("chromedriver");
        command.arg(format!("--port={port}"));
        let driver = Driver::start(home, "chromedriver", command, &[port]).await?;
        let profile = home.folder().join(".config/chromium");
        let mut arguments = vec![
            format!("--user-data-dir={}", profile.display()),
            // With a pipe Chromium ends as soon as its driver is gone.
            "--remote-debugging-pipe".to_owned(),
            "--no-first-run".to_owned(),
            "--no-default-browser-check".to_owned(),
            "--no-proxy-server".to_owned(),
            "--password-store=basic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--lang=fr".to_owned(),
            "--window-position=160,40".to_owned(),
            "--window-size=1080,800".to_owned(),
        ];
        if std::fs::metadata("/proc/self")?.uid() == 0 {
            // Chromium refuses its sandbox to root, who runs tests in containers.
            arguments.push("--no-sandbox".to_owned());
        }
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": arguments,
                "excludeSwitches": ["enable-automation"],
                "prefs": { "credentials_enable_service": false, "intl.accept_languages": "fr,fr-FR" },
            },
        });
        let capabilities = capabilities.as_object().cloned().unwrap_or_default();
        let client = driver
            .session(capabilities)
            .await
            .context("Chromium did not open")?;
        Ok(Self { client, driver })
    }

    pub async fn visit(&self, address: &str) -> Result<()> {
        // The address holds one-time values: it is not told when this fails.
        tokio::time::timeout(PATIENCE, self.client.goto(address))
            .await
            .context("the page does not load")??;
        Ok(())
    }

    /// Waits for the portal's first page and fills it in.
    pub async fn type_password(&self, person: &Person, password: &str) -> Result<()> {
        self.type_into("input[name=user]", &person.uid)
            .await
            .context("the portal's password page")?;
        self.type_into("input[name=password]", password).await
    }

    /// Waits for the portal's second page and fills it in.
    pub async fn type_code(&self, code: &str) -> Result<()> {
        self.type_into("input[name=code]", code)
            .await
            .context("the portal's code page")
    }

    /// Waits until the portal asks for the code.
    pub async fn asks_for_code(&self) -> Result<()> {
        self.field("input[name=code]")
            .await
            .map(drop)
            .context("the portal asks for the code")
    }

    /// Presses Enter in the field that was filled in last.
    pub async fn submit(&self) -> Result<()> {
        Ok(self.client.active_element().await?.send_keys(ENTER).await?)
    }

    /// Waits until the portal says that it does not let the person in.
    pub async fn refused(&self) -> Result<()> {
        until("the portal refuses", PATIENCE, || async {
            Ok(self
                .client
                .find(Locator::Css(".alert-danger, .message-negative"))
                .await
                .ok()
                .map(drop))
        })
        .await
    }

    /// Waits for the page that Cordée itself shows at the end, and returns its text.
    pub async fn last_page(&self) -> Result<String> {
        until("the browser is back on this machine", PATIENCE, || async {
            let here = self.client.current_url().await?.host_str() == Some("127.0.0.1");
            let text = self.text().await?;
            Ok((here && !text.trim().is_empty()).then_some(text))
        })
        .await
    }

    /// The whole way: password, code from the person's phone, last page.
    pub async fn sign_in(
        &self,
        workplace: &Workplace,
        person: &Person,
        address: &str,
    ) -> Result<String> {
        let phone = workplace.sms_mark()?;
        self.visit(address).await?;
        self.type_password(person, &person.password).await?;
        self.submit().await?;
        let code = workplace.sms_code_for(&person.phone, phone).await?;
        self.type_code(&code).await?;
        self.submit().await?;
        self.last_page().await
    }

    /// The text that the page shows.
    pub async fn text(&self) -> Result<String> {
        let text = self
            .client
            .execute(
                "return document.body ? document.body.innerText : ''",
                vec![],
            )
            .await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    pub async fn title(&self) -> Result<String> {
        Ok(self.client.title().await?)
    }

    pub async fn picture(&self, file: &Path) -> Result<()> {
        Ok(std::fs::write(file, self.client.screenshot().await?)?)
    }

    /// Closes the window as a person does.
    pub async fn close(self) -> Result<()> {
        self.client.close().await?;
        drop(self.driver);
        Ok(())
    }

    async fn field(&self, css: &str) -> Result<fantoccini::elements::Element> {
        until(&format!("a field {css}"), PATIENCE, || async {
            let field = self.client.find(Locator::Css(css)).await?;
            Ok(field.is_displayed().await?.then_some(field))
        })
        .await
    }

    async fn type_into(&self, css: &str, text: &str) -> Result<()> {
        let field = self.field(css).await?;
        field.click().await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }
}
