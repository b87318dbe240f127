//! Tests of mail with a real server, which also fails on purpose.

use orderstream_core::notification::{Blame, DeliveryError, Template};
use orderstream_core::spec::NotificationType;
use orderstream_notifier::Outgoing;
use orderstream_notifier::authorities::Authorities;
use orderstream_testbed::{SmtpExtensions, SmtpServer};

use crate::{channels, channels_to, example, send};

fn to(address: &str) -> orderstream_core::notification::Notification {
    example(Template::Invitation, NotificationType::Email, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_uses_starttls_and_classifies_failures() {
    let Some(server) = SmtpServer::start(SmtpExtensions::Starttls).await else { return };
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

#[tokio::test(flavor = "multi_thread")]
async fn mail_servers_of_own_authorities_are_trusted() {
    let Some(server) = SmtpServer::start(SmtpExtensions::Starttls).await else { return };
    let authorities = Authorities::read(&server.certificate()).unwrap();
    let outgoing = Outgoing { authorities, ..Outgoing::default() };
    let channels = channels_to(&server.settings("required", ""), &outgoing);
    assert_eq!(send(&channels, &to("sales@north.example")).await, Ok(()));
    assert!(server.mails().starts_with("=== tls "), "{}", server.mails());
}

/// The server has no SMTPUTF8, and all of the mail is 7-bit.
#[tokio::test(flavor = "multi_thread")]
async fn international_domains_go_to_any_server() {
    let Some(server) = SmtpServer::start(SmtpExtensions::Starttls).await else { return };
    let settings = server.trusted().replace("<rfq@acme.example>", "<rfq@büro.example>");
    let channels = channels(&settings);
    let mut notification = to("einkauf@bücher.example");
    notification.data["order"]["title"] = "Stahlträger für Halle 4".into();
    assert_eq!(send(&channels, &notification).await, Ok(()));
    let mail = server.mails();
    let id = notification.id;
    for expected in [
        "=== tls buyer@acme rfq@xn--bro-hoa.example einkauf@xn--bcher-kva.example\n",
        "From: Purchasing <rfq@xn--bro-hoa.example>\r\n",
        "To: einkauf@xn--bcher-kva.example\r\n",
        format!("{id}@xn--bro-hoa.example>").as_str(),
    ] {
        assert!(mail.contains(expected), "{expected} is not in {mail}");
    }
    assert!(mail.is_ascii(), "{mail}");
}

/// A server that takes such a name gets it; at another one it is the recipient's failure.
#[tokio::test(flavor = "multi_thread")]
async fn names_beyond_ascii_bounce_at_once() {
    let Some(server) = SmtpServer::start(SmtpExtensions::Starttls).await else { return };
    let channels = channels(&server.trusted());
    for address in ["jörg@north.example", "jörg@büro.example", "a@bü_ro.example"] {
        let bounced = send(&channels, &to(address)).await;
        assert!(matches!(bounced, Err(DeliveryError::Bounced { .. })), "{address}: {bounced:?}");
    }
    let bounced = send(&channels, &to("jörg@north.example")).await;
    let Err(DeliveryError::Bounced { reason }) = bounced else { panic!("{bounced:?}") };
    assert!(reason.contains("beyond ASCII before the @"), "{reason}");
    assert_eq!(server.mails(), "");
    assert_eq!(send(&channels, &to("sales@north.example")).await, Ok(()));

    let Some(server) = SmtpServer::start(SmtpExtensions::StarttlsAndUtf8).await else { return };
    let channels = crate::channels(&server.trusted());
    assert_eq!(send(&channels, &to("jörg@büro.example")).await, Ok(()));
    let mail = server.mails();
    assert!(mail.contains("rfq@acme.example jörg@xn--bro-hoa.example\n"), "{mail}");
}

/// The client reports them as it reports an address that the server does not take.
#[tokio::test(flavor = "multi_thread")]
async fn missing_starttls_and_login_bounce_nobody() {
    let Some(bare) = SmtpServer::start(SmtpExtensions::None).await else { return };
    let Some(server) = SmtpServer::start(SmtpExtensions::Starttls).await else { return };
    // This server offers a login only on an encrypted connection.
    for settings in [bare.trusted(), server.settings("none", "")] {
        let channels = channels(&settings);
        for address in ["sales@north.example", "jörg@north.example"] {
            let failed = send(&channels, &to(address)).await;
            assert!(
                matches!(failed, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
                "{address}: {failed:?}"
            );
        }
    }
    assert_eq!(bare.mails() + &server.mails(), "");
}

/// A recipient at which the server hangs costs one timeout.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_mail_delays_no_other() {
    let Some(server) = SmtpServer::start(SmtpExtensions::Starttls).await else { return };
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
    let Some(server) = SmtpServer::start(SmtpExtensions::Starttls).await else { return };
    let channels = channels(&server.settings("required", ""));
    let refused = send(&channels, &to("sales@north.example")).await;
    assert!(
        matches!(refused, Err(DeliveryError::TryAgain { blame: Blame::Destination, .. })),
        "{refused:?}"
    );
    server.set_password("wrong");
    let channels = crate::channels(&server.trusted());
    let refused = send(&channels, &to("sales@north.example")).await;
    let Err(DeliveryError::TryAgain { reason, .. }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("535") && !reason.contains("wrong"), "{reason}");
    assert_eq!(server.mails(), "");
}
