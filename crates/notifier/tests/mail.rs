//! Tests of mail with a real server, aiosmtpd, which also fails on purpose. Without Python the
//! tests print a message and are skipped; in CI they fail.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use orderstream_core::notification::{Blame, DeliveryError, Template};
use orderstream_core::spec::NotificationType;

use crate::{channels, example, send};

/// A server that writes mail to a file, and fails for recipients with certain names.
const SERVER: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

out, cert, key = sys.argv[1:4]
greylisted = set()

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown"):
            return "550 5.1.1 no such user"
        if address.startswith("later") and address not in greylisted:
            greylisted.add(address)
            return "451 4.7.1 come again"
        if address.startswith("drop"):
            server.transport.abort()
            return "421 gone"
        if address.startswith("hang"):
            await asyncio.sleep(3600)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        tls = "tls" if session.ssl else "plain"
        user = session.auth_data.login.decode() if session.auth_data else "-"
        with open(out, "ab") as file:
            head = f"=== {tls} {user} {envelope.mail_from} {','.join(envelope.rcpt_tos)}\n"
            file.write(head.encode() + envelope.content + b"\n")
        return "250 OK"

def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data.password == b"p@ss word"
    return AuthResult(success=good, handled=False, auth_data=data if good else None)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)

async def main():
    loop = asyncio.get_running_loop()
    def factory():
        return SMTP(Handler(), hostname="localhost", tls_context=context,
                    authenticator=authenticate, auth_require_tls=True)
    server = await loop.create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

struct Server {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Starts a server; `None` if Python or aiosmtpd is missing.
    fn start() -> Option<Self> {
        let python = match python() {
            Ok(python) => python,
            Err(cause) => {
                assert!(std::env::var_os("CI").is_none(), "{cause}");
                println!("skipped: {cause}");
                return None;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("server.py"), SERVER).unwrap();
        std::fs::write(path("password"), "p@ss word\n").unwrap();
        let status = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .arg(path("key.pem"))
            .arg("-out")
            .arg(path("cert.pem"))
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        let mut child = Command::new(python)
            .arg(path("server.py"))
            .args([path("out"), path("cert.pem"), path("key.pem")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Some(Self { child, port, dir })
    }

    fn settings(&self, tls: &str, more: &str) -> String {
        let (port, dir) = (self.port, self.dir.path().display());
        format!(
            "smtp:\n  url: smtp://buyer%40acme@localhost:{port}?tls={tls}\n  \
             password-file: {dir}/password\n  from: 'Purchasing <rfq@acme.example>'\n{more}"
        )
    }

    fn trusted(&self) -> String {
        let file = self.dir.path().join("cert.pem");
        self.settings("required", &format!("  ca-file: {}\n", file.display()))
    }

    fn mails(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("out")).unwrap_or_default()
    }
}

/// Returns a Python environment with aiosmtpd, created once under `target/` by the first test that
/// needs it.
fn python() -> Result<PathBuf, String> {
    static VENV: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    VENV.get_or_init(make_python).clone()
}

fn make_python() -> Result<PathBuf, String> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/aiosmtpd");
    let python = target.join("bin/python");
    let is_installed = || {
        let import = Command::new(&python).args(["-c", "import aiosmtpd"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    if is_installed() {
        return Ok(python);
    }
    let run = |command: &mut Command, what: &str| {
        let output = command.output().map_err(|error| format!("{what}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr)))
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&target), "no venv of python3")?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "aiosmtpd==1.4.6"]);
    run(&mut install, "cannot install aiosmtpd")?;
    if is_installed() { Ok(python) } else { Err("aiosmtpd cannot be used".to_owned()) }
}

fn to(address: &str) -> orderstream_core::notification::Notification {
    example(Template::Invitation, NotificationType::Email, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_uses_starttls_and_classifies_failures() {
    let Some(server) = tokio::task::spawn_blocking(Server::start).await.unwrap() else { return };
    let channels = channels(&server.trusted());
    assert_eq!(send(&channels, &to("sales@north.example")).await, Ok(()));
    let mail = server.mails();
    let id = to("x").id;
    for expected in [
        "=== tls buyer@acme rfq@acme.example sales@north.example",
        "Subject: Preisanfrage: Steel beams for hall 4 (A-2026-17)",
        "From: Purchasing <rfq@acme.example>",
        "Auto-Submitted: auto-generated",
        "References: <example@acme.example>",
        "multipart/alternative",
        "text/html",
    ] {
        assert!(mail.contains(expected), "{expected} is not in {mail}");
    }
    let unfolded = mail.replace("\r\n ", " ");
    assert!(unfolded.contains(&format!("Message-ID: <{id}@acme.example>")), "{mail}");
    let bounced = send(&channels, &to("unknown@north.example")).await;
    let Err(DeliveryError::Bounced { reason }) = bounced else { panic!("{bounced:?}") };
    assert!(reason.contains("550"), "{reason}");
    let later = send(&channels, &to("later@north.example")).await;
    assert!(
        matches!(later, Err(DeliveryError::TryAgain { blame: Blame::Recipient, .. })),
        "{later:?}"
    );
    assert_eq!(send(&channels, &to("later@north.example")).await, Ok(()));
    let dropped = send(&channels, &to("drop@north.example")).await;
    assert!(
        matches!(dropped, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
        "{dropped:?}"
    );
    assert_eq!(send(&channels, &to("after@north.example")).await, Ok(()), "a new connection");
}

/// A recipient at which the server hangs costs one timeout.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_mail_delays_no_other() {
    let Some(server) = tokio::task::spawn_blocking(Server::start).await.unwrap() else { return };
    let channels = channels(&server.trusted());
    let (hanging, other) = (to("hang@north.example"), to("other@north.example"));
    let began = std::time::Instant::now();
    let both = tokio::join!(send(&channels, &hanging), async {
        let sent = send(&channels, &other).await;
        (sent, began.elapsed())
    });
    let (hung, (sent, after)) = both;
    assert!(
        matches!(hung, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
        "{hung:?}"
    );
    assert_eq!(sent, Ok(()));
    assert!(after.as_secs() < 10 && began.elapsed().as_secs() < 25, "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn untrusted_mail_servers_receive_nothing() {
    let Some(server) = tokio::task::spawn_blocking(Server::start).await.unwrap() else { return };
    let channels = channels(&server.settings("required", ""));
    let refused = send(&channels, &to("sales@north.example")).await;
    assert!(
        matches!(refused, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
        "{refused:?}"
    );
    std::fs::write(server.dir.path().join("password"), "wrong").unwrap();
    let channels = crate::channels(&server.trusted());
    let refused = send(&channels, &to("sales@north.example")).await;
    let Err(DeliveryError::TryAgain { reason, .. }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("535") && !reason.contains("wrong"), "{reason}");
    assert_eq!(server.mails(), "");
}
