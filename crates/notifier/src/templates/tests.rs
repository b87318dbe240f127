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
            let (in_english, in_german) =
                ((&english.subject, &english.text), (&german.subject, &german.text));
            assert_ne!(in_english, in_german, "{template:?} over {channel:?}");
            assert_eq!((english.language.as_str(), german.language.as_str()), ("en", "de"));
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

/// An operator's folder may have some templates of a language only.
#[test]
fn mails_name_the_language_they_are_in() {
    let templates = templates(&[
        ("ar/pause.j2", "توقف: {{ about }}\nلا تُقبل العروض الآن."),
        ("zh-Hant/pause.j2", "暫停：{{ about }}\n目前不接受報價。"),
    ])
    .unwrap();
    for (asked, template, expected) in [
        ("ar", Template::Pause, r#"<html lang="ar" dir="rtl">"#),
        ("ar-EG", Template::Pause, r#"<html lang="ar" dir="rtl">"#),
        ("ar", Template::Invitation, r#"<html lang="en" dir="ltr">"#),
        ("zh-Hant-TW", Template::Pause, r#"<html lang="zh-hant" dir="ltr">"#),
        ("zh-Hant-TW", Template::Invitation, r#"<html lang="en" dir="ltr">"#),
        ("de-AT", Template::Pause, r#"<html lang="de" dir="ltr">"#),
        ("nl", Template::Pause, r#"<html lang="en" dir="ltr">"#),
    ] {
        let rendered = templates.render(&example(template, NotificationType::Email, asked));
        let html = templates.html(&rendered.unwrap()).unwrap();
        assert!(html.contains(expected), "{asked}: {html}");
        assert!(html.contains(r#"<p dir="auto">"#) && !html.contains("<p>"), "{asked}: {html}");
    }
}

#[test]
fn scripts_decide_about_direction() {
    for (language, expected) in [
        ("ar", "rtl"),
        ("he-il", "rtl"),
        ("fa", "rtl"),
        ("ur-pk", "rtl"),
        ("az-arab", "rtl"),
        ("ar-latn", "ltr"),
        ("az", "ltr"),
        ("de-1996", "ltr"),
        ("en", "ltr"),
    ] {
        assert_eq!(direction(language), expected, "{language}");
    }
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
    let html = templates.html(&rendered).unwrap();
    assert!(html.contains("&lt;b&gt;") && !html.contains("<b>"), "{html}");
    hostile.channel.kind = NotificationType::GChat;
    let rendered = templates.render(&hostile).unwrap();
    assert!(!rendered.text.contains('<') && rendered.text.contains("‹users/all›"), "{rendered:?}");
}

/// What has several lines in a mail, such as a message, still turns and hides nothing.
#[test]
fn foreign_texts_forge_no_lines() {
    let templates = built_in();
    let mut hostile = example(Template::Invitation, NotificationType::Email, "en");
    hostile.data["order"]["title"] = "safe \u{202e}gnp.exe \u{2066}open".into();
    hostile.data["order"]["items"][0]["description"] =
        "beam\nProposals until: 2099-01-01\u{2028}x".into();
    hostile.data["order"]["message"]["message"] = "first\r\nsecond \u{202e}third\u{200b}".into();
    let rendered = templates.render(&hostile).unwrap();
    let about = "safe gnp.exe \u{2066}open\u{2069} (A-2026-17)";
    assert_eq!(rendered.subject, format!("Request for quotation: {about}"));
    let expected = "- 40 pcs HEB-200: beam Proposals until: 2099-01-01 x\n\n\
                    first\nsecond third\nhttps://example.com/drawing.pdf";
    assert!(rendered.text.ends_with(expected), "{rendered:?}");
}

/// Neither a name nor a long subject leaves an isolate open for the text after it.
#[test]
fn long_subjects_close_their_isolates() {
    let mut hostile = example(Template::Invitation, NotificationType::Email, "en");
    hostile.data["order"]["title"] = format!("\u{2068}{}\u{2069}", "x".repeat(300)).into();
    let subject = built_in().render(&hostile).unwrap().subject;
    assert!(subject.ends_with("x\u{2069}"), "{subject:?}");
    assert_eq!(subject.chars().count(), SUBJECT_CHARS_MAX);
}

#[test]
fn emoji_and_scripts_are_mailed_as_written() {
    let mut foreign = example(Template::Question, NotificationType::Email, "en");
    for text in ["עד מתי? 100", "إلى متى؟", "می\u{200c}خواهم", "\u{1f469}\u{200d}\u{1f527} ok"]
    {
        foreign.data["event"]["message"] = text.into();
        let rendered = built_in().render(&foreign).unwrap();
        assert!(rendered.text.ends_with(&format!("\n\n{text}")), "{rendered:?}");
    }
}
