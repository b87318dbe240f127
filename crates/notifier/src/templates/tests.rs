//! Tests of the texts of notifications.

use super::*;

fn templates(files: &[(&str, &str)]) -> Result<Templates, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Templates::load(Some(folder.path()))
}

fn built_in() -> Templates {
    Templates::load(None).unwrap()
}

fn example(template: Template, channel: NotificationType, language: &str) -> Notification {
    example::notification(template, channel, language)
}

/// Templates render for every channel, in both languages.
#[test]
fn every_template_renders_everywhere() {
    let templates = built_in();
    for template in Template::ALL {
        for channel in CHANNELS {
            let english = templates.render(&example(template, channel, "en")).unwrap();
            let german = templates.render(&example(template, channel, "de")).unwrap();
            assert_ne!(english, german, "{template:?} over {channel:?}");
            for rendered in [english, german] {
                let is_blank = rendered.text.contains("\n\n\n") || rendered.text.contains("null");
                assert!(!is_blank && !rendered.text.contains("None"), "{rendered:?}");
                assert!(rendered.subject.contains("A-2026-17"), "{rendered:?}");
            }
        }
    }
}

#[test]
fn invitations_read_naturally() {
    let rendered =
        built_in().render(&example(Template::Invitation, NotificationType::Email, "de")).unwrap();
    assert_eq!(rendered.subject, "Preisanfrage: Steel beams for hall 4 (A-2026-17)");
    let expected = "Sie werden um ein Angebot gebeten.\n\n\
                  Nummer: A-2026-17\n\
                  Angebote bis: 2026-03-03T09:00:00Z\n\
                  Kategorie: steel\n\
                  Lieferung nach: Hafenstraße 1, Hamburg\n\
                  Lieferung bis: 2026-04-01T00:00:00Z\n\n\
                  Gewünscht:\n\
                  - 40 Stk. HEB-200: beam, 12 m\n\n\
                  Certificate 3.1 is needed.\n\
                  https://example.com/drawing.pdf";
    assert_eq!(rendered.text, expected);
}

/// The base language comes first, if it is available.
#[test]
fn languages_fall_back_to_english() {
    let templates = templates(&[
        ("fr/pause.j2", "Pause : {{ about }}\nOn attend."),
        ("de-AT/pause.SMS.j2", "Pause, bitt'schön: {{ about }}"),
    ])
    .unwrap();
    let subject = |language, channel| {
        templates.render(&example(Template::Pause, channel, language)).unwrap().subject
    };
    let about = "Steel beams for hall 4 (A-2026-17)";
    let mail = NotificationType::Email;
    assert_eq!(subject("de-AT", NotificationType::Sms), format!("Pause, bitt'schön: {about}"));
    assert_eq!(subject("de-AT", mail), format!("Angehalten: {about}"));
    assert_eq!(subject("fr-CA", mail), format!("Pause : {about}"));
    assert_eq!(subject("nl", mail), format!("Paused: {about}"));
}

/// The error names the file.
#[test]
fn wrong_templates_are_refused_at_start() {
    for (file, text, expected) in [
        ("en/pause.j2", "{{ about }}\n{{ order.nothing }}", "en/pause.j2: undefined value"),
        ("en/pause.j2", "{{ about }}\n{% if %}", "en/pause.j2: syntax error"),
        ("en/pause.j2", "\nonly a text", "has no subject"),
        ("en/pauze.j2", "x", "is named after no template"),
        ("en/pause.Fax.j2", "x", "is named after no template"),
        ("en/pause.j2", "{% for i in range(99999999) %}x{% endfor %}", "en/pause.j2"),
        (
            "en/pause.j2",
            "x\n{% for i in range(9000) %}{{ about }}{% endfor %}",
            "is longer than 65536 bytes",
        ),
    ] {
        let error = templates(&[(file, text)]).unwrap_err();
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            message = format!("{message}: {source}");
            cause = source.source();
        }
        assert!(message.contains(expected), "{file} {text}: {message}");
    }
}

#[test]
fn user_texts_stay_plain_text() {
    let templates = built_in();
    let mut hostile = example(Template::FollowUp, NotificationType::Email, "en");
    hostile.data["order"]["title"] = "a\r\nBcc: all@example.com".into();
    hostile.data["event"]["message"]["message"] = "<b>{{ id }}</b> <users/all>\u{7}".into();
    let rendered = templates.render(&hostile).unwrap();
    assert_eq!(rendered.subject, "Message of the buyer: a  Bcc: all@example.com (A-2026-17)");
    assert!(
        rendered.text.contains("<b>{{ id }}</b>") && !rendered.text.contains('\u{7}'),
        "{rendered:?}"
    );
    let html = templates.html(&rendered, Some("en")).unwrap();
    assert!(html.contains("&lt;b&gt;") && !html.contains("<b>"), "{html}");
    hostile.channel.kind = NotificationType::GChat;
    let rendered = templates.render(&hostile).unwrap();
    assert!(!rendered.text.contains('<') && rendered.text.contains("‹users/all›"), "{rendered:?}");
}
