//! Many participants in one process, who publish pictures that were encoded beforehand and decode nothing.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use media::{
    Access, EncodedFrame, EncodedPicture, Encoder, Network, Options, PatternSource, Session,
    VideoPublication, VideoTrack,
};

/// Three seconds, of which the first picture is a key frame.
const FILM: u32 = 90;

pub async fn run(url: &str, count: usize) -> Result<()> {
    let track = VideoTrack::camera();
    let mut films = Vec::new();
    // The top layer is not watched: its film would only cost time.
    for layer in &track.layers[..2] {
        let source = PatternSource::new(layer.width, layer.height, 30);
        let mut encoder = Encoder::new(layer.width, layer.height, layer.bitrate)?;
        let mut film = Vec::new();
        for number in 0..FILM {
            film.extend(encoder.encode(&source.paint(number), 3000, number == 0)?);
        }
        films.push(film);
    }
    let films = Arc::new(films);
    let mut people = Vec::new();
    for token in std::io::stdin().lines().take(count) {
        let access = Access {
            url: url.to_owned(),
            token: token?.trim().to_owned(),
        };
        let options = Options {
            network: Network::loopback(),
            subscribe: false,
            ..Options::default()
        };
        let (session, _events) = Session::join(access, options).await?;
        let publication = session.publish_video(track.clone()).await?;
        tokio::spawn(play(films.clone(), publication));
        people.push(session);
    }
    writeln!(std::io::stdout(), "ready")?;
    // Until the one who asked for it ends it.
    std::future::pending::<()>().await;
    Ok(())
}

/// The film again and again; who wants a key frame waits for its beginning, or begins it.
async fn play(films: Arc<Vec<Vec<EncodedPicture>>>, publication: VideoPublication) {
    let mut tick = tokio::time::interval(Duration::from_nanos(33_333_333));
    let mut places = vec![0; films.len()];
    for timestamp in (0_u32..).map(|number| number.wrapping_mul(3000)) {
        tick.tick().await;
        if publication.ended() {
            return;
        }
        for (layer, (film, place)) in films.iter().zip(&mut places).enumerate() {
            if publication.take_key_frame_wish(layer) {
                *place = 0;
            }
            let frame = &film[*place];
            *place = (*place + 1) % film.len();
            publication.send(EncodedFrame {
                layer,
                data: frame.data.clone().into(),
                key_frame: frame.key_frame,
                timestamp,
            });
        }
    }
}
