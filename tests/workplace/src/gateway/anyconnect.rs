//! ocserv, which speaks AnyConnect's protocol: people sign in with a password and a code.

use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::{Context, Result};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::Options;
use super::namespaces::{Namespaces, Net, RUN, Who};
use super::server::Server;

/// Port in the gateway's namespace.
pub const PORT: u16 = 4443;
/// Everybody's password.
pub const PASSWORD: &str = "Elme-2026";

/// Somebody who may sign in, with the phone that shows the codes.
pub struct Colleague {
    pub name: String,
    secret: [u8; 20],
    next: Mutex<u64>,
}

impl Colleague {
    fn new(name: String) -> Self {
        Self {
            name,
            secret: rand::random(),
            next: Mutex::new(0),
        }
    }

    /// The next code, as a text message would bring it (RFC 4226).
    pub fn code(&self) -> Result<String> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hmac = Hmac::<Sha1>::new_from_slice(&self.secret).context("a key of any length")?;
        hmac.update(&next.to_be_bytes());
        let digest = hmac.finalize().into_bytes();
        let at = usize::from(digest[19] & 15);
        let number = u32::from_be_bytes([
            digest[at] & 127,
            digest[at + 1],
            digest[at + 2],
            digest[at + 3],
        ]);
        *next += 1;
        Ok(format!("{:06}", number % 1_000_000))
    }
}

pub struct AnyConnect {
    pub colleagues: Vec<Colleague>,
    server: Option<Server>,
}

impl AnyConnect {
    pub fn start(net: &Namespaces, options: &Options) -> Result<Self> {
        let colleagues: Vec<_> = (1..=options.colleagues)
            .map(|n| Colleague::new(format!("colleague{n}")))
            .collect();
        let mut codes = String::new();
        for colleague in &colleagues {
            let secret = crate::site::hex(colleague.secret);
            codes.extend(["HOTP/E/6\t", &colleague.name, "\t-\t", &secret, "\n"]);
        }
        net.write("ocserv/codes", codes)?;
        net.write("ocserv/ocserv.conf", settings(options))?;
        let names: Vec<_> = colleagues
            .iter()
            .map(|colleague| colleague.name.as_str())
            .collect();
        net.script(&format!(
            "cd {RUN}/ocserv; chmod 600 codes
             for name in {}; do printf '{PASSWORD}\\n{PASSWORD}\\n' | ocpasswd -c people $name; done",
            names.join(" ")
        ))?;
        let mut anyconnect = Self {
            colleagues,
            server: None,
        };
        anyconnect.restart(net)?;
        Ok(anyconnect)
    }

    /// Starts it, after it was killed too.
    pub fn restart(&mut self, net: &Namespaces) -> Result<()> {
        self.server = None;
        let mut ocserv = net.command(Net::Gateway, Who::Root, "ocserv");
        ocserv.args(["-f", "-d", "2", "-c", &format!("{RUN}/ocserv/ocserv.conf")]);
        self.server = Some(Server::start(net, "ocserv", ocserv)?);
        Ok(())
    }

    pub fn kill(&mut self) {
        self.server = None;
    }

    pub fn said(&self) -> String {
        self.server
            .as_ref()
            .map(Server::last_lines)
            .unwrap_or_default()
    }
}

fn settings(options: &Options) -> String {
    let codes = if options.codes {
        format!(",otp={RUN}/ocserv/codes")
    } else {
        String::new()
    };
    format!(
        r#"auth = "plain[passwd={RUN}/ocserv/people{codes}]"
listen-host = 127.0.0.1
tcp-port = {PORT}
run-as-user = nobody
run-as-group = nogroup
socket-file = {RUN}/ocserv/socket
server-cert = {RUN}/tls/server.crt
server-key = {RUN}/tls/server.key
isolate-workers = false
max-clients = 64
max-same-clients = 8
rate-limit-ms = 0
max-ban-score = 0
keepalive = 30
dpd = 30
tls-priorities = "NORMAL:%SERVER_PRECEDENCE:-VERS-SSL3.0:-VERS-TLS1.0:-VERS-TLS1.1"
auth-timeout = 60
cookie-timeout = 300
rekey-time = {rekey}
rekey-method = new-tunnel
use-occtl = false
pid-file = {RUN}/ocserv/pid
device = oc
predictable-ips = true
default-domain = {domain}
ipv4-network = 10.88.0.0
ipv4-netmask = 255.255.255.0
ipv6-network = fd88::/64
ipv6-subnet-prefix = 128
dns = {v4}
dns = {v6}
route = 10.50.0.0/255.255.0.0
route = fd50::/64
cisco-client-compat = true
"#,
        rekey = options.rekey,
        domain = super::inside::DOMAIN,
        v4 = super::inside::Resolver::Honest.v4(),
        v6 = super::inside::Resolver::Honest.v6(),
    )
}
