//! One small HTTP/1.1 request and its answer, over whatever stream: enough for probes, which must
//! not depend on connections, caches or proxies of an HTTP client.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest answer that is looked at, bytes.
const LONGEST: usize = 64 * 1024;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// As it came; chunks keep their borders.
    pub(crate) body: Vec<u8>,
    /// The connection can be used for another request.
    pub(crate) reusable: bool,
}

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    After(usize),
    LastChunk,
    Closed,
}

/// Asks for `path`. `authority` is what the `Host` header says.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    authority: &str,
    path: &str,
) -> io::Result<Answer> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: Cordee\r\nAccept: */*\r\n\
         Cache-Control: no-cache\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut bytes = Vec::with_capacity(2048);
    loop {
        if let Some(answer) = parse(&bytes, false)? {
            return Ok(answer);
        }
        if bytes.len() >= LONGEST {
            return Err(invalid());
        }
        let room = (LONGEST - bytes.len()).min(8192) as u64;
        if (&mut *stream).take(room).read_buf(&mut bytes).await? == 0 {
            return match parse(&bytes, true)? {
                Some(answer) => Ok(answer),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

/// Reads an answer; `None`: more bytes are needed. `closed`: none will come.
fn parse(bytes: &[u8], closed: bool) -> io::Result<Option<Answer>> {
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut lines);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(invalid()),
    };
    let status = response.code.ok_or_else(invalid)?;
    let end = end_of_body(status, response.headers)?;
    let keeps = response.version == Some(1)
        && !response.headers.iter().any(|header| {
            header.name.eq_ignore_ascii_case("connection")
                && header.value.eq_ignore_ascii_case(b"close")
        });
    let body = bytes.get(length..).unwrap_or_default();
    let whole = match end {
        End::After(count) => body.get(..count),
        End::LastChunk => body.ends_with(b"0\r\n\r\n").then_some(body),
        End::Closed => closed.then_some(body),
    };
    Ok(whole.map(|whole| Answer {
        status,
        body: whole.to_vec(),
        reusable: keeps && end != End::Closed && whole.len() == body.len() && !closed,
    }))
}

fn end_of_body(status: u16, headers: &[httparse::Header<'_>]) -> io::Result<End> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(End::After(0));
    }
    let named = |name: &str| {
        headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    if named("transfer-encoding").is_some() {
        return Ok(End::LastChunk);
    }
    match named("content-length") {
        Some(value) => std::str::from_utf8(value)
            .ok()
            .and_then(|value| value.trim().parse().ok())
            .map(End::After)
            .ok_or_else(invalid),
        None => Ok(End::Closed),
    }
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(text: &str, closed: bool) -> Option<(u16, String, bool)> {
        parse(text.as_bytes(), closed).unwrap().map(|answer| {
            let body = String::from_utf8(answer.body).unwrap();
            (answer.status, body, answer.reusable)
        })
    }

    #[test]
    fn the_end_of_an_answer_is_known_by_length_chunk_or_close() {
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(answer(&format!("{length}o"), false), None);
        assert_eq!(
            answer(&format!("{length}ok"), false),
            Some((200, "ok".to_owned(), true))
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
        assert_eq!(answer(chunked, false), None);
        assert!(answer(&format!("{chunked}0\r\n\r\n"), false).is_some());
        let open = "HTTP/1.0 200 OK\r\n\r\nok";
        assert_eq!(answer(open, false), None);
        assert_eq!(answer(open, true), Some((200, "ok".to_owned(), false)));
        assert_eq!(
            answer("HTTP/1.1 204 No Content\r\n\r\n", false),
            Some((204, String::new(), true))
        );
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false).is_err());
        assert!(parse(b"SSH-2.0-x\r\n", false).is_err());
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let (mut near, mut far) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let _ = far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while far.write_all(&[b'x'; 4096]).await.is_ok() {}
        });
        assert!(exchange(&mut near, "a", "/").await.is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            front in "(HTTP/1\\.[01] [0-9]{3} X\r\n(Content-Length: [0-9]{0,20}\r\n)?\r\n)?",
            closed in any::<bool>(),
        ) {
            let mut all = front.into_bytes();
            all.extend(bytes);
            let _ = parse(&all, closed);
        }
    }
}
