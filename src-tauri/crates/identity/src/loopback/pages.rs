//! The last page that the browser shows. No script, no picture, nothing loaded from anywhere.

/// A title and one sentence.
#[derive(Debug, Clone)]
pub struct Page {
    pub title: String,
    pub text: String,
}

/// The pages in the person's language.
#[derive(Debug, Clone)]
pub struct Pages {
    /// BCP 47 tag, for screen readers.
    pub language: String,
    pub done: Page,
    pub refused: Page,
}

impl Pages {
    /// `fr`, `nl` (with or without a region); English for all others.
    pub fn in_language(tag: &str) -> Self {
        let (language, done, refused) = match tag.split(['-', '_']).next() {
            Some("fr") => (
                "fr",
                (
                    "C’est fait",
                    "Vous pouvez fermer cette page et revenir à Cordée.",
                ),
                (
                    "La connexion n’a pas été acceptée",
                    "Revenez à Cordée pour voir pourquoi et recommencer.",
                ),
            ),
            Some("nl") => (
                "nl",
                (
                    "Klaar",
                    "U kunt deze pagina sluiten en terugkeren naar Cordée.",
                ),
                (
                    "De aanmelding is niet aanvaard",
                    "Keer terug naar Cordée om te zien waarom en opnieuw te beginnen.",
                ),
            ),
            _ => (
                "en",
                ("Done", "You can close this page and go back to Cordée."),
                (
                    "The sign-in was not accepted",
                    "Go back to Cordée to see why and to try again.",
                ),
            ),
        };
        let page = |(title, text): (&str, &str)| Page {
            title: title.into(),
            text: text.into(),
        };
        Self {
            language: language.into(),
            done: page(done),
            refused: page(refused),
        }
    }
}

pub fn html(language: &str, page: &Page) -> String {
    let (language, title, text) = (escape(language), escape(&page.title), escape(&page.text));
    format!(
        "<!doctype html><html lang=\"{language}\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} – Cordée</title>\
         <style>body{{font:16px/1.5 Inter,system-ui,sans-serif;display:grid;place-content:center;\
         min-height:100vh;margin:0;background:linear-gradient(165deg,#10242f,#0c3a47 62%,#0b6e84 130%);\
         color:#e7f2f5}}main{{box-sizing:border-box;width:min(420px,100vw - 32px);padding:40px 32px;\
         border-radius:16px;background:#fff;color:#15212c;text-align:center}}\
         b{{display:block;font-size:18px;color:#0a5f72;margin-bottom:24px}}\
         h1{{font-size:24px;line-height:1.3;letter-spacing:-.015em;margin:0 0 8px}}\
         p{{margin:0;color:#4d5a68}}</style>\
         <main><b>Cordée</b><h1>{title}</h1><p>{text}</p></main></html>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_become_markup() {
        let page = Page {
            title: "<script>".into(),
            text: "\"&".into(),
        };
        let html = html("fr", &page);
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"));
    }

    #[test]
    fn the_page_speaks_the_persons_language() {
        assert_eq!(Pages::in_language("fr-BE").done.title, "C’est fait");
        assert_eq!(Pages::in_language("nl_BE").language, "nl");
        assert_eq!(Pages::in_language("de").language, "en");
    }
}
