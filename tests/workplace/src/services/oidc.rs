//! Sign-in: `LemonLDAP::NG` as OpenID Connect provider, with a password and then a code by SMS.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Map, Value, json};

use crate::guard::Guard;
use crate::process::{Crew, command};
use crate::service::{Service, Step, answers, need};
use crate::site::{CLIENT_ID, DOMAIN, PRIVATE_SCHEME, REDIRECT_PORTS, Site, write};

pub const SYNAPSE_CLIENT: &str = "synapse";
const PORTAL: &str = include_str!("oidc/portal.psgi");
const PACKAGES: &str = "liblemonldap-ng-portal-perl lemonldap-ng-fastcgi-server starman libplack-perl \
    libio-string-perl libconvert-base32-perl libstring-random-perl libgd-securityimage-perl libimage-magick-perl \
    libmime-tools-perl libcrypt-openssl-bignum-perl libunicode-string-perl libnet-cidr-perl libdbd-sqlite3-perl";

pub struct Oidc {
    crew: Crew,
}

impl Oidc {
    pub fn new(site: &Site, guard: Arc<Guard>) -> Self {
        Self {
            crew: Crew::new(guard, site.folder("oidc").join("oidc.log")),
        }
    }
}

pub fn socket(site: &Site) -> PathBuf {
    site.folder("oidc").join("portal.sock")
}

impl Service for Oidc {
    fn name(&self) -> &'static str {
        "oidc"
    }

    fn install(&self) -> Result<()> {
        need(Path::new("starman"), PACKAGES)?;
        need(Path::new("curl"), "curl")?;
        need(Path::new("/usr/share/lemonldap-ng/portal/htdocs"), PACKAGES)
    }

    fn configure(&self, site: &Site) -> Result<()> {
        let folder = site.folder("oidc");
        for name in [
            "conf",
            "sessions/lock",
            "psessions/lock",
            "cache",
            "notifications",
        ] {
            std::fs::create_dir_all(folder.join(name))?;
        }
        write(&folder.join("lemonldap-ng.ini"), ini(&folder))?;
        write(&folder.join("portal.psgi"), PORTAL)?;
        accounts(&folder.join("users.db"), site).context("cannot write the portal's accounts")?;
        let send = folder.join("send-sms.sh");
        write(&send, send_script(site))?;
        std::fs::set_permissions(&send, std::fs::Permissions::from_mode(0o755))?;
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
        write(
            &folder.join("conf/lmConf-1.json"),
            serde_json::to_vec_pretty(&settings(site, &folder, &key))?,
        )
    }

    fn start(&self, site: &Site) -> Result<()> {
        let folder = site.folder("oidc");
        // Left behind by a portal that was killed.
        let _ = std::fs::remove_file(socket(site));
        let mut starman = command("starman");
        starman
            .arg("--listen")
            .arg(socket(site))
            .args(["--workers", "3"])
            .arg(folder.join("portal.psgi"))
            .env("LLNG_DEFAULTCONFFILE", folder.join("lemonldap-ng.ini"))
            .env("LLNG_DEFAULTLOGGER", "Lemonldap::NG::Common::Logger::Std")
            .current_dir(&folder);
        self.crew.start(starman)
    }

    fn ready<'a>(&'a self, site: &'a Site) -> Step<'a> {
        answers(
            site,
            "the portal",
            format!("{}/.well-known/openid-configuration", site.issuer()),
        )
    }

    fn crew(&self) -> &Crew {
        &self.crew
    }
}

fn ini(folder: &Path) -> String {
    let here = folder.display();
    format!(
        "[all]
logLevel = info
checkTime = 1
[configuration]
type = File
dirName = {here}/conf
localStorage = Cache::FileCache
localStorageOptions = {{ 'namespace'=>'c','default_expires_in'=>600,'directory_umask'=>'007','cache_root'=>'{here}/cache','cache_depth'=>3 }}
[portal]
staticPrefix = /static
templateDir = /usr/share/lemonldap-ng/portal/templates
languages = fr, nl, en
[handler]
[manager]
"
    )
}

/// The gateway's password stays in this file, on the portal's side. `$1` is the number, `$2` the code.
fn send_script(site: &Site) -> String {
    format!(
        "#!/bin/sh
[ -n \"$1\" ] || exit 1
exec curl -fsS -G -o /dev/null --noproxy '*' --max-time 10 http://127.0.0.1:{port}/cgi-bin/sendsms \\
  --data-urlencode username=portal --data-urlencode password={secret} --data-urlencode charset=UTF-8 \\
  --data-urlencode \"to=$1\" --data-urlencode \"text=Cliniques Saint-Elme, votre code de connexion : $2\"
",
        port = site.ports.sms,
        secret = site.secret,
    )
}

fn accounts(path: &Path, site: &Site) -> rusqlite::Result<()> {
    let mut database = rusqlite::Connection::open(path)?;
    let change = database.transaction()?;
    change.execute_batch(
        "create table users (uid text primary key, pw text, cn text, mail text, mobile text, title text, \
         department text, given text, family text)",
    )?;
    for person in &site.people {
        change.execute(
            "insert into users values (?,?,?,?,?,?,?,?,?)",
            [
                &person.uid,
                &person.password,
                &person.name,
                &person.email,
                &person.phone,
                &person.function,
                &person.department,
                &person.first,
                &person.last,
            ],
        )?;
    }
    change.commit()
}

/// `LemonLDAP::NG`'s configuration, with its own key names.
fn settings(site: &Site, folder: &Path, key: &KeyPair) -> Value {
    let parts = [
        portal(site),
        passwords(site, folder),
        sessions(folder),
        provider(site, key),
        clients(site),
    ];
    Value::Object(
        parts
            .iter()
            .filter_map(Value::as_object)
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    )
}

fn portal(site: &Site) -> Value {
    json!({
        "cfgNum": 1, "cfgAuthor": "workplace", "cfgDate": 1_700_000_000, "cfgVersion": "2.16.1",
        "key": site.secret, "portal": format!("{}/", site.issuer()), "domain": DOMAIN,
        "cookieName": "lemonldap", "securedCookie": 1, "httpOnly": 1, "timeout": 72_000, "formTimeout": 120,
        "portalSkin": "bootstrap", "locationRules": {}, "exportedHeaders": {}, "applicationList": {},
        "captcha_login_enabled": 0, "captcha_mail_enabled": 0, "captcha_register_enabled": 0,
        "portalDisplayRegister": 0, "portalDisplayResetPassword": 0, "portalDisplayGeneratePassword": 0,
    })
}

/// Password and second factor. LemonLDAP makes and checks the code, the gateway carries it. An account rests after
/// three wrong passwords in a row; the history is what the portal counts in.
fn passwords(site: &Site, folder: &Path) -> Value {
    let database = format!("dbi:SQLite:dbname={}", folder.join("users.db").display());
    let columns = [
        "uid",
        "cn",
        "mail",
        "mobile",
        "title",
        "department",
        "given",
        "family",
    ];
    json!({
        "authentication": "DBI", "userDB": "DBI", "passwordDB": "Null", "registerDB": "Null",
        "dbiAuthChain": database, "dbiAuthUser": "", "dbiAuthPassword": "", "dbiAuthTable": "users",
        "dbiUserChain": database, "dbiUserUser": "", "dbiUserPassword": "", "dbiUserTable": "users",
        "dbiAuthLoginCol": "uid", "dbiAuthPasswordCol": "pw", "dbiAuthPasswordHash": "", "userPivot": "uid",
        "dbiExportedVars": columns.iter().map(|n| ((*n).to_owned(), json!(n))).collect::<Map<_, _>>(),
        "exportedVars": {}, "whatToTrace": "_whatToTrace", "macros": { "_whatToTrace": "$uid" }, "groups": {},
        "loginHistoryEnabled": 1, "failedLoginNumber": 5, "bruteForceProtection": 1,
        "bruteForceProtectionMaxFailed": 3, "bruteForceProtectionTempo": site.options.block.as_secs(),
        "bruteForceProtectionMaxAge": 300, "bruteForceProtectionIncrementalTempo": 0,
        "ext2fActivation": "$mobile", "ext2fCodeActivation": "\\d{6}",
        "ext2FSendCommand": format!("{} $mobile $code", folder.join("send-sms.sh").display()),
        "ext2fResendInterval": "30", "ext2fAuthnLevel": 3, "sfLoginTimeout": "120", "sfRequired": "1",
    })
}

fn sessions(folder: &Path) -> Value {
    let store = |name: &str| json!({ "Directory": folder.join(name), "LockDirectory": folder.join(name).join("lock") });
    let mut sessions = store("sessions");
    sessions["generateModule"] = json!("Lemonldap::NG::Common::Apache::Session::Generate::SHA256");
    json!({
        "globalStorage": "Apache::Session::File", "globalStorageOptions": sessions,
        "persistentStorage": "Apache::Session::File", "persistentStorageOptions": store("psessions"),
        "oidcStorage": "Apache::Session::File", "oidcStorageOptions": store("sessions"),
        "localSessionStorage": "Cache::FileCache",
        "localSessionStorageOptions": { "namespace": "s", "default_expires_in": 600, "directory_umask": "007",
            "cache_root": folder.join("cache"), "cache_depth": 3 },
        "notification": 0, "notificationStorage": "File",
        "notificationStorageOptions": { "dirName": folder.join("notifications") },
    })
}

fn provider(site: &Site, key: &KeyPair) -> Value {
    json!({
        "issuerDBOpenIDConnectActivation": 1, "oidcServiceMetaDataIssuer": site.issuer(),
        "oidcServiceAllowAuthorizationCodeFlow": 1, "oidcServiceAllowImplicitFlow": 0,
        "oidcServiceAllowHybridFlow": 0, "oidcServicePrivateKeySig": key.serialize_pem(),
        "oidcServicePublicKeySig": key.public_key_pem(), "oidcServiceKeyIdSig": "workplace-1",
        "oidcServiceMetaDataAuthnContext": { "loa-1": 1, "loa-2": 2, "loa-3": 3, "loa-4": 4, "loa-5": 5 },
        "oidcServiceAccessTokenExpiration": site.options.access_token_lifetime.as_secs(),
        "oidcServiceIDTokenExpiration": 3_600, "oidcServiceAuthorizationCodeExpiration": 60,
        "oidcServiceOfflineSessionExpiration": 2_592_000, "oidcServiceIgnoreScopeForClaims": 0,
    })
}

fn clients(site: &Site) -> Value {
    let claims = json!({
        "name": "cn", "given_name": "given", "family_name": "family", "preferred_username": "uid", "email": "mail",
        "function": "title", "role": "title", "department": "department",
    });
    let loopback = REDIRECT_PORTS
        .map(|port| format!("http://127.0.0.1:{port}/callback"))
        .join(" ");
    json!({
        "oidcRPMetaDataOptions": {
            "desktop": relying_party(&json!({
                "ClientID": CLIENT_ID, "Public": 1, "RequirePKCE": 1, "BypassConsent": 1, "AllowOffline": 1,
                "IDTokenSignAlg": "RS256", "AccessTokenSignAlg": "RS256", "AccessTokenJWT": 1, "AuthnLevel": 3,
                "UserIDAttr": "uid", "RedirectUris": format!("{PRIVATE_SCHEME}:/callback {loopback}"),
            })),
            "synapse": relying_party(&json!({
                "ClientID": SYNAPSE_CLIENT, "ClientSecret": site.secret, "BypassConsent": 1,
                "IDTokenSignAlg": "RS256", "UserIDAttr": "uid",
                "RedirectUris": format!("{}/_synapse/client/oidc/callback", site.homeserver()),
            })),
        },
        "oidcRPMetaDataExportedVars": { "desktop": claims, "synapse": claims },
        // An entry named `profile` replaces the standard set, so it lists that too.
        "oidcRPMetaDataOptionsExtraClaims": { "desktop": {
            "profile": "name given_name family_name preferred_username function role department",
        } },
    })
}

fn relying_party(options: &Value) -> Value {
    let named =
        |(name, value): (&String, &Value)| (format!("oidcRPMetaDataOptions{name}"), value.clone());
    Value::Object(
        options
            .as_object()
            .into_iter()
            .flatten()
            .map(named)
            .collect(),
    )
}
