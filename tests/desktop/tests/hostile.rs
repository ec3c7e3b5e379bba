//! What strangers send is shown harmlessly, and the webview can reach nothing but the app.

#![recursion_limit = "512"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use anyhow::Result;
use desktop::{PATIENCE, Window, until};
use serde_json::json;
use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_are_shown_harmlessly_and_the_window_goes_on() -> Result<()> {
    let stage = Stage::of("camille.martin").await?;
    let window = stage.signed_in().await?;
    let everybody = stage.workplace.everybody()?;
    let stranger = stage.workplace.person("yanis.cherif")?.mxid.clone();
    let room = everybody
        .create_room(
            &stranger,
            &json!({ "name": "Pièges", "invite": [stage.person.mxid], "preset": "private_chat" }),
        )
        .await?;
    everybody.join(&room, &stage.person.mxid).await?;
    let deep = format!(
        "{}fond{}",
        "<blockquote>".repeat(2_000),
        "</blockquote>".repeat(2_000)
    );
    let html = |body: &str, html: &str| json!({ "msgtype": "m.text", "body": body, "format": "org.matrix.custom.html", "formatted_body": html });
    // The homeserver takes events up to 64 kB: longer text comes as a file or not at all.
    let messages = [
        json!({ "msgtype": "m.text", "body": "a".repeat(60_000) }),
        html("profond", &deep[..60_000.min(deep.len())]),
        html(
            "script",
            "<script>document.title='pris'</script><img src=x onerror=\"document.title='pris'\">avant",
        ),
        html(
            "lien",
            "<a href=\"javascript:document.title='pris'\">cliquez</a> <a href=\"data:text/html,x\">ici</a>",
        ),
        html(
            "style",
            "<p style=\"position:fixed;inset:0\" class=\"rail\">plein écran</p>",
        ),
        json!({ "msgtype": "m.text", "body": "\u{202E}fdp.tcartnoc\u{2066}\u{200B}\u{200D}" }),
        json!({ "msgtype": "m.file", "body": "../../../../etc/passwd", "filename": "../../../../etc/passwd",
            "url": "mxc://saint-elme.localhost/rien", "info": { "size": 3 } }),
        json!({ "msgtype": "m.image", "body": "grande.png", "url": "mxc://saint-elme.localhost/rien",
            "info": { "w": 200_000, "h": 200_000, "size": 9_999_999_999_u64, "mimetype": "image/png" } }),
        // What its type asks for is missing.
        json!({ "msgtype": "m.image", "body": "sans adresse" }),
        json!({ "msgtype": "m.location", "body": "nulle part", "geo_uri": 3 }),
    ];
    for content in &messages {
        everybody
            .say(&room, &stranger, "m.room.message", None, content)
            .await?;
    }
    everybody
        .text(&room, &stranger, "Dernier, tout va bien")
        .await?;

    window.open_room("Pièges").await?;
    window.see_message("Dernier, tout va bien", "sent").await?;
    assert_eq!(
        window.run("return document.title;", vec![]).await?,
        json!("Cordée")
    );
    let links = "return [...document.querySelectorAll('[data-testid=\"timeline\"] a, [data-testid=\"timeline\"] [href]')]
        .map((one) => one.getAttribute('href') ?? '');";
    let links: Vec<String> = serde_json::from_value(window.run(links, vec![]).await?)?;
    let harmless =
        |link: &String| link.is_empty() || link.starts_with("https:") || link.starts_with("http:");
    assert!(links.iter().all(harmless), "{links:?}");
    let shown = window.texts("timeline").await?.concat();
    assert!(
        !shown.contains("../"),
        "a file's name leads out of its folder"
    );
    // The look of the window is ours: nothing of a message covers it or is wider than its place.
    let wide =
        "const box = document.querySelector('[data-testid=\"timeline\"]').getBoundingClientRect();
        return [...document.querySelectorAll('[data-testid=\"message\"]')]
            .every((one) => one.getBoundingClientRect().width <= box.width + 1);";
    assert_eq!(window.run(wide, vec![]).await?, json!(true));
    window.write("Et cela s’écrit encore").await?;
    window.see_message("Et cela s’écrit encore", "sent").await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_direction_tricks_cannot_look_like_somebody_else() -> Result<()> {
    let stage = Stage::of("nora.benali").await?;
    let window = stage.signed_in().await?;
    let everybody = stage.workplace.everybody()?;
    let stranger = stage.workplace.person("mehdi.amrani")?.mxid.clone();
    let invite =
        json!({ "name": "Faux nom", "invite": [stage.person.mxid], "preset": "private_chat" });
    let room = everybody.create_room(&stranger, &invite).await?;
    everybody.join(&room, &stage.person.mxid).await?;
    let name =
        json!({ "membership": "join", "displayname": "\u{202E}ilaneB aroN\u{200B}\u{2066}" });
    let path = [
        "rooms",
        room.as_str(),
        "state",
        "m.room.member",
        stranger.as_str(),
    ];
    everybody
        .send(reqwest::Method::PUT, &stranger, &path, None, &name)
        .await?;
    everybody.text(&room, &stranger, "C’est bien moi").await?;
    window.open_room("Faux nom").await?;
    window.see_message("C’est bien moi", "sent").await?;
    let tricks = "return [...document.querySelector('[data-testid=\"timeline\"]').innerText]
        .some((one) => /[\\u202A-\\u202E\\u2066-\\u2069\\u200B]/u.test(one));";
    assert_eq!(window.run(tricks, vec![]).await?, json!(false));
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webview_runs_no_text_as_code_and_reaches_nothing_but_the_app() -> Result<()> {
    let stage = Stage::of("hugo.lambert").await?;
    let window = Window::open(&stage.home).await?;
    window.see("sign-in").await?;
    let eval =
        "try { return 'ran ' + window.eval('1 + 1'); } catch (refused) { return refused.name; }";
    assert_eq!(window.run(eval, vec![]).await?, json!("EvalError"));
    let function = "try { return 'ran ' + new window.Function('return 2')(); } catch (refused) { return refused.name; }";
    assert_eq!(window.run(function, vec![]).await?, json!("EvalError"));

    let server = format!("{}/_matrix/client/versions", stage.workplace.homeserver());
    let plain = "http://127.0.0.1:9/".to_owned();
    for address in [server, plain] {
        let fetch = "const [address, done] = arguments;
            fetch(address, { mode: 'no-cors' }).then(() => done('reached'), () => done('refused'));";
        assert_eq!(
            window
                .run_until_done(fetch, vec![json!(address)], PATIENCE)
                .await?,
            json!("refused")
        );
        let image = "const [address, done] = arguments; const image = new Image();
            document.addEventListener('securitypolicyviolation', (event) => done(event.violatedDirective), { once: true });
            image.onload = () => done('reached'); image.src = address;";
        let directive = window
            .run_until_done(image, vec![json!(address)], PATIENCE)
            .await?;
        assert!(
            directive
                .as_str()
                .unwrap_or_default()
                .starts_with("img-src"),
            "{directive}"
        );
    }
    // A script that somehow got into the page is not run.
    let script =
        "const one = document.createElement('script'); one.textContent = 'window.taken = true';
        document.body.append(one); return window.taken ?? null;";
    assert_eq!(window.run(script, vec![]).await?, json!(null));
    // The window does not leave the app.
    window
        .run(
            "location.href = 'https://example.org/'; return null;",
            vec![],
        )
        .await?;
    until("the window is still the app", PATIENCE, || async {
        Ok(window.shows("sign-in").await?.then_some(()))
    })
    .await?;
    window.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_no_names_addresses_texts_or_tokens() -> Result<()> {
    let stage = Stage::of("ines.morel").await?;
    let window = stage.signed_in().await?;
    let (colleague, room) = stage
        .talk_with(&window, "amelie.durand", "Secret médical")
        .await?;
    let conversation = colleague.open(&room).await?;
    window.write("Le patient de la chambre 7").await?;
    conversation
        .hear("Le patient de la chambre 7", PATIENCE)
        .await?;
    colleague.leave().await;
    window.close().await?;
    let log = stage.home.log();
    assert!(!log.is_empty(), "nothing was logged at all");
    let server = stage.workplace.organisation();
    let secrets = [
        "Morel",
        "ines.morel",
        "Durand",
        "Secret médical",
        "chambre 7",
        "loginToken",
        "syt_",
        &room,
        &server,
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "the log holds {secret:?}: {line:?}");
    }
    Ok(())
}
