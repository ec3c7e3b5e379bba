//! The one door: nginx with TLS on one port, which finds the service by the name in the address.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::guard::Guard;
use crate::ports;
use crate::process::{Crew, command};
use crate::service::{Service, Step, need};
use crate::services::{oidc, organisation, synapse};
use crate::site::{DOMAIN, Site, write};

pub struct Front {
    crew: Crew,
}

impl Front {
    pub fn new(site: &Site, guard: Arc<Guard>) -> Self {
        Self {
            crew: Crew::new(guard, site.folder("front").join("front.log")),
        }
    }
}

/// Shows another certificate from the next start on: our own, or one from an authority that nobody trusts.
pub fn show_certificate(site: &Site, trusted: bool) -> Result<()> {
    write(
        &site.folder("front").join("nginx.conf"),
        configuration(site, trusted),
    )
}

fn configuration(site: &Site, trusted: bool) -> String {
    let folder = site.folder("front");
    let here = folder.display();
    let port = site.ports.front;
    let tls = site.run.join("tls");
    let certificate = tls.join(if trusted { "server" } else { "stranger" });
    let certificate = certificate.display();
    // One process: a master's workers would outlive it when it is killed.
    let mut conf = format!(
        "daemon off; master_process off; pid {here}/nginx.pid; error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
  include /etc/nginx/mime.types; access_log off; server_tokens off;
  client_body_temp_path {here}/tmp; proxy_temp_path {here}/tmp;
  fastcgi_temp_path {here}/tmp; uwsgi_temp_path {here}/tmp; scgi_temp_path {here}/tmp;
  ssl_certificate {certificate}.crt; ssl_certificate_key {certificate}.key;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache none;
  server_names_hash_bucket_size 128; keepalive_timeout 75s;
  proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host;
  proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto https;

  server {{ listen 127.0.0.1:{plain}; location = /alive {{ return 204; }} location / {{ return 404; }} }}
  server {{
    listen 127.0.0.1:{port} ssl http2 default_server; server_name {DOMAIN};
    root {pages};
    location = /.well-known/cordee {{ default_type application/json; add_header Cache-Control no-cache; }}
    location = /.well-known/webfinger {{ default_type application/jrd+json; }}
    location = /.well-known/matrix/client {{ default_type application/json; add_header Access-Control-Allow-Origin *; }}
    location / {{ return 404; }}
  }}
",
        plain = site.ports.plain,
        pages = organisation::pages(site).display(),
    );
    // Chat: long answers stay open while nothing happens, and nothing may wait in a buffer.
    let _ = write!(
        conf,
        "  upstream synapse {{ server unix:{socket}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{port} ssl http2; server_name matrix.{DOMAIN};
    client_max_body_size 220m; proxy_read_timeout 300s; proxy_send_timeout 300s;
    proxy_buffering off; proxy_request_buffering off;
    location / {{ proxy_pass http://synapse; }}
  }}
",
        socket = synapse::socket(site).display(),
    );
    if site.options.identity {
        // The portal compares addresses with its own name, so it is given that name also by other servers.
        let _ = write!(
            conf,
            "  server {{
    listen 127.0.0.1:{port} ssl http2; server_name auth.{DOMAIN} localhost;
    location /static/ {{ alias /usr/share/lemonldap-ng/portal/htdocs/static/; }}
    location /javascript/ {{ alias /usr/share/javascript/; }}
    location / {{
      proxy_pass http://unix:{socket}; proxy_set_header Host auth.{DOMAIN}:{port};
      proxy_set_header Connection close; proxy_set_header X-Real-IP $remote_addr;
    }}
  }}
",
            socket = oidc::socket(site).display(),
        );
    }
    conf + "}\n"
}

impl Service for Front {
    fn name(&self) -> &'static str {
        "front"
    }

    fn install(&self) -> Result<()> {
        need(Path::new("nginx"), "nginx-light")
    }

    fn configure(&self, site: &Site) -> Result<()> {
        std::fs::create_dir_all(site.folder("front").join("tmp"))?;
        show_certificate(site, true)
    }

    fn start(&self, site: &Site) -> Result<()> {
        let folder = site.folder("front");
        let mut nginx = command("/usr/sbin/nginx");
        nginx
            .arg("-p")
            .arg(&folder)
            .arg("-e")
            .arg("stderr")
            .arg("-c")
            .arg(folder.join("nginx.conf"));
        self.crew.start(nginx)
    }

    fn ready<'a>(&'a self, site: &'a Site) -> Step<'a> {
        Box::pin(async {
            ensure!(
                ports::open(site.ports.front),
                "the web server does not listen yet"
            );
            Ok(())
        })
    }

    fn crew(&self) -> &Crew {
        &self.crew
    }
}
