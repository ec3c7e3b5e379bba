//! Text messages: Kannel with its own simulated phone network, whose log shows what would reach the phones.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};

use crate::guard::Guard;
use crate::ports;
use crate::process::{Crew, command};
use crate::service::{Service, Step, need};
use crate::site::{Site, write};

const PHONES: &str = "/usr/lib/kannel/test/fakesmsc";

pub struct Sms {
    crew: Crew,
}

impl Sms {
    pub fn new(site: &Site, guard: Arc<Guard>) -> Self {
        Self {
            crew: Crew::new(guard, site.folder("sms").join("sms.log")),
        }
    }
}

impl Service for Sms {
    fn name(&self) -> &'static str {
        "sms"
    }

    fn install(&self) -> Result<()> {
        need(Path::new("bearerbox"), "kannel")?;
        need(Path::new(PHONES), "kannel-extras")
    }

    fn configure(&self, site: &Site) -> Result<()> {
        let folder = site.folder("sms");
        let here = folder.display();
        let ports = &site.ports;
        let secret = &site.secret;
        // Without `our-host` the simulated network listens on all interfaces.
        let conf = format!(
            r#"group = core
admin-port = {admin}
admin-interface = "127.0.0.1"
admin-password = {secret}
smsbox-port = {smsbox}
smsbox-interface = "127.0.0.1"
box-allow-ip = "127.0.0.1"
log-file = "{here}/bearerbox.log"
log-level = 1
store-type = file
store-location = "{here}/store"
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = PHONES
host = 127.0.0.1
our-host = 127.0.0.1
port = {network}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = "127.0.0.1"
global-sender = SAINT-ELME
log-file = "{here}/smsbox.log"
log-level = 1

group = sendsms-user
username = portal
password = {secret}
user-allow-ip = "127.0.0.1"
concatenation = true
max-messages = 10

group = sms-service
keyword = default
text = "ok"
max-messages = 0
"#,
            admin = ports.sms_admin,
            smsbox = ports.sms_box,
            network = ports.sms_network,
            sendsms = ports.sms,
        );
        write(&folder.join("kannel.conf"), conf)?;
        write(&site.phone_log(), "")
    }

    fn start(&self, site: &Site) -> Result<()> {
        let folder = site.folder("sms");
        let mut gateway = command("/usr/sbin/bearerbox");
        gateway
            .args(["-v", "1"])
            .arg(folder.join("kannel.conf"))
            .current_dir(&folder);
        self.crew.start(gateway)?;
        // Both others give up when the gateway does not answer at once.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !(ports::open(site.ports.sms_box) && ports::open(site.ports.sms_network)) {
            if let Some(ended) = self.crew.ended() {
                bail!("the SMS gateway did not start: {ended}");
            }
            ensure!(
                std::time::Instant::now() < deadline,
                "the SMS gateway does not listen after 20 s"
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut sender = command("/usr/sbin/smsbox");
        sender
            .args(["-v", "1"])
            .arg(folder.join("kannel.conf"))
            .current_dir(&folder);
        self.crew.start(sender)?;
        let mut phones = command(PHONES);
        phones
            .args(["-H", "127.0.0.1", "-r", &site.ports.sms_network.to_string()])
            .args(["-i", "1", "-m", "0", "33600000000 1000 text init"])
            .current_dir(&folder);
        self.crew.start_with_log(phones, &site.phone_log())
    }

    fn ready<'a>(&'a self, site: &'a Site) -> Step<'a> {
        Box::pin(async {
            ensure!(
                ports::open(site.ports.sms),
                "the SMS gateway does not accept messages yet"
            );
            Ok(())
        })
    }

    fn crew(&self) -> &Crew {
        &self.crew
    }
}
