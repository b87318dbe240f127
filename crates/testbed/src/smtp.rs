//! A real mail server for tests, aiosmtpd, which also fails on purpose. Without Python a test that
//! needs it prints a message and is skipped; with `CI=true` it fails.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::make_certificate;

/// A server that writes mail to a file, and fails for recipients with certain names.
const SERVER: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

out, cert, key, extensions = sys.argv[1:5]
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
        return SMTP(Handler(), hostname="localhost",
                    tls_context=context if "STARTTLS" in extensions else None,
                    enable_SMTPUTF8="SMTPUTF8" in extensions,
                    authenticator=authenticate, auth_require_tls=True)
    server = await loop.create_server(factory, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

/// The extensions of SMTP that a mail server announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpExtensions {
    /// Neither encryption nor SMTPUTF8.
    None,
    /// Encryption, and no SMTPUTF8.
    Starttls,
    /// Encryption, and names beyond ASCII.
    StarttlsAndUtf8,
}

impl SmtpExtensions {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Starttls => "STARTTLS",
            Self::StarttlsAndUtf8 => "STARTTLS,SMTPUTF8",
        }
    }
}

/// A running mail server; it ends when it is dropped.
#[derive(Debug)]
pub struct SmtpServer {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl SmtpServer {
    /// Starts a server without blocking the runtime; `None` if Python or aiosmtpd is missing.
    ///
    /// # Panics
    /// When the server does not start; with `CI=true`, if Python or aiosmtpd is missing.
    pub async fn start(extensions: SmtpExtensions) -> Option<Self> {
        tokio::task::spawn_blocking(move || Self::start_blocking(extensions)).await.unwrap()
    }

    /// Starts a server; `None` if Python or aiosmtpd is missing.
    ///
    /// # Panics
    /// When the server does not start; with `CI=true`, if Python or aiosmtpd is missing.
    pub fn start_blocking(extensions: SmtpExtensions) -> Option<Self> {
        let python = match python() {
            Ok(python) => python,
            Err(cause) => {
                let is_required = std::env::var_os("CI").is_some_and(|ci| ci == "true");
                assert!(!is_required, "{cause}");
                eprintln!("SKIPPED, {cause}");
                return None;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("server.py"), SERVER).unwrap();
        std::fs::write(path("password"), "p@ss word\n").unwrap();
        make_certificate("localhost", dir.path());
        let mut child = Command::new(python)
            .arg(path("server.py"))
            .args([path("out"), path("cert.pem"), path("key.pem")])
            .arg(extensions.as_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Some(Self { child, port, dir })
    }

    /// Returns the settings of a notifier that sends mail to this server; `more` are further lines
    /// below `smtp`.
    pub fn settings(&self, tls: &str, more: &str) -> String {
        let (port, dir) = (self.port, self.dir.path().display());
        format!(
            "smtp:\n  url: smtp://buyer%40acme@localhost:{port}?tls={tls}\n  \
             password-file: {dir}/password\n  from: 'Purchasing <rfq@acme.example>'\n{more}"
        )
    }

    /// Returns settings with STARTTLS that trust the server's certificate.
    pub fn trusted(&self) -> String {
        let file = self.certificate();
        self.settings("required", &format!("  ca-file: {}\n", file.display()))
    }

    /// Returns the PEM file with the server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Replaces the password in the file that the settings name.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set_password(&self, password: &str) {
        std::fs::write(self.dir.path().join("password"), password).unwrap();
    }

    /// Returns all mail that the server has accepted, each with a line before it: `tls` or `plain`,
    /// the user, the sender and the recipients.
    pub fn mails(&self) -> String {
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
