//! What is behind the gateway and nowhere else: a web site with the workplace's certificate, resolvers, an echo.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

use super::namespaces::{Namespaces, Net, RUN, Who};
use super::server::Server;

/// The organisation's domain inside.
pub const DOMAIN: &str = "saint-elme.test";
/// Names of the web site (TLS on 443) and the echo (TCP on 3389).
pub const SITE: &str = "intra.saint-elme.test";
pub const DESKTOP: &str = "rdp.saint-elme.test";
/// A name inside whose address is outside.
pub const EVIL: &str = "evil.saint-elme.test";
/// What `https://intra.saint-elme.test/probe` answers.
pub const PROBE: &str = "cordee-inside";
/// Bytes of `/large`.
pub const LARGE: usize = 8 << 20;

/// A resolver inside. Each listens on 10.50.0.N and `fd50::N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// Tells the truth, always.
    Honest = 53,
    /// For tests that stop it or make it lie.
    Mortal = 54,
}

impl Resolver {
    pub fn v4(self) -> String {
        format!("10.50.0.{}", self as u8)
    }

    pub fn v6(self) -> String {
        format!("fd50::{}", self as u8)
    }
}

/// All of it.
pub struct Inside {
    _site: Server,
    _echo: Server,
    _honest: Server,
    mortal: Mutex<Server>,
}

impl Inside {
    pub fn start(net: &Namespaces) -> Result<Self> {
        net.write(
            "www/index.html",
            format!("<!doctype html><title>{PROBE}</title><h1>Intranet</h1>"),
        )?;
        net.write("www/probe", PROBE)?;
        net.write("www/large", vec![b'x'; LARGE])?;
        let settings = net.write("nginx.conf", nginx())?;
        let mut site = net.command(Net::Inside, Who::Root, "nginx");
        site.args(["-e", "stderr", "-c", &settings]);
        let mut echo = net.command(Net::Inside, Who::Root, &format!("{RUN}/bin/parts"));
        echo.args(["echo", "[::]:3389"]);
        Ok(Self {
            _site: Server::start(net, "site", site)?,
            _echo: Server::start(net, "echo", echo)?,
            _honest: resolver(net, Resolver::Honest, false)?,
            mortal: Mutex::new(resolver(net, Resolver::Mortal, false)?),
        })
    }

    /// The mortal resolver stops where it is.
    pub fn freeze_resolver(&self) -> Result<()> {
        self.mortal().freeze()
    }

    /// The mortal resolver starts again; from now on every name is an address outside, or the truth.
    pub fn restart_resolver(&self, net: &Namespaces, lies: bool) -> Result<()> {
        let mut mortal = self.mortal();
        mortal.end();
        *mortal = resolver(net, Resolver::Mortal, lies)?;
        Ok(())
    }

    fn mortal(&self) -> MutexGuard<'_, Server> {
        self.mortal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nginx() -> String {
    format!(
        "daemon off; worker_processes 1; user root; pid {RUN}/nginx.pid; error_log stderr;
         events {{ worker_connections 2048; }}
         http {{ access_log off; default_type text/html; sendfile on;
           client_body_temp_path {RUN}/nginx; proxy_temp_path {RUN}/nginx; fastcgi_temp_path {RUN}/nginx;
           uwsgi_temp_path {RUN}/nginx; scgi_temp_path {RUN}/nginx;
           server {{ listen 80; listen [::]:80; listen 443 ssl http2; listen [::]:443 ssl http2;
             ssl_certificate {RUN}/tls/server.crt; ssl_certificate_key {RUN}/tls/server.key; root {RUN}/www; }} }}"
    )
}

fn resolver(net: &Namespaces, resolver: Resolver, lies: bool) -> Result<Server> {
    let mut command = net.command(Net::Inside, Who::Root, "dnsmasq");
    let (v4, v6) = (resolver.v4(), resolver.v6());
    command.args([
        "-k",
        "-C",
        "/dev/null",
        "-R",
        "-h",
        "--no-hosts",
        "--bind-interfaces",
        "--user=root",
    ]);
    command.args(["--pid-file", "--log-queries", "--log-facility=-"]);
    command.arg(format!("--listen-address={v4},{v6}"));
    if lies {
        command.arg("--address=/#/192.0.2.66");
    } else {
        command.arg(format!("--local=/{DOMAIN}/"));
        for name in [SITE, DESKTOP] {
            command.arg(format!("--host-record={name},10.50.0.80,fd50::80"));
        }
        command.arg(format!("--host-record={EVIL},192.0.2.1"));
        command.arg(format!("--address=/wide.{DOMAIN}/10.50.0.80"));
    }
    let mut server = Server::start(net, &format!("resolver-{}", resolver as u8), command)?;
    // It listens by then: whoever counts the time from its start on counts the client's, not its own.
    server.has_said("started, version")?;
    Ok(server)
}
