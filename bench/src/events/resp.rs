//! RESP, Redis' protocol, as far as it is needed here: commands, replies.

use anyhow::{Context as _, Result, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes read at once.
const READ: usize = 256 * 1024;

/// What Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Text of any kind: a status, a number, a string.
    Text(Bytes),
    /// Nothing.
    Nil,
    /// A list.
    List(Vec<Reply>),
}

/// Adds a command to what is to be sent.
pub(super) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(crate::server::local(port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: BytesMut::new() })
    }

    /// Sends commands that [`command`] has made.
    pub(super) async fn send(&mut self, commands: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(commands).await?)
    }

    /// The next reply. One that tells of an error is an error.
    pub(super) async fn reply(&mut self) -> Result<Reply> {
        loop {
            if let Some((reply, length)) = parse(&self.input)? {
                self.input.advance(length);
                return Ok(reply);
            }
            self.input.reserve(READ);
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("Redis closed the connection");
            }
        }
    }

    /// Sends one command and waits for its reply.
    pub(super) async fn ask(&mut self, words: &[&[u8]]) -> Result<Reply> {
        let mut out = Vec::new();
        command(&mut out, words);
        self.send(&out).await?;
        self.reply().await
    }
}

/// The reply at the front, and its length; `None` where it is not all there.
fn parse(input: &[u8]) -> Result<Option<(Reply, usize)>> {
    let Some(end) = input.iter().position(|byte| *byte == b'\r') else { return Ok(None) };
    let (line, mut at) = (&input[..end], end + 2);
    if input.len() < at {
        return Ok(None);
    }
    let (kind, said) = line.split_first().context("an empty reply")?;
    let said = std::str::from_utf8(said)?;
    let reply = match kind {
        b'+' | b':' => Reply::Text(Bytes::copy_from_slice(said.as_bytes())),
        b'-' => bail!("Redis says: {said}"),
        b'$' | b'*' if said == "-1" => Reply::Nil,
        b'$' => {
            let length: usize = said.parse()?;
            let Some(text) = input.get(at..at + length).filter(|_| input.len() >= at + length + 2) else {
                return Ok(None);
            };
            at += length + 2;
            Reply::Text(Bytes::copy_from_slice(text))
        }
        b'*' => {
            let count: usize = said.parse()?;
            let mut list = Vec::with_capacity(count.min(1024));
            for _ in 0..count {
                let Some((reply, length)) = parse(&input[at..])? else { return Ok(None) };
                list.push(reply);
                at += length;
            }
            Reply::List(list)
        }
        other => bail!("no reply begins with {other:#x}"),
    };
    Ok(Some((reply, at)))
}

/// The IDs of the entries in XRANGE's reply: how many there are, and the last.
pub(super) fn entries(reply: &Reply) -> Result<(usize, Bytes)> {
    let Reply::List(entries) = reply else { bail!("entries are a list") };
    match entries.last() {
        Some(Reply::List(entry)) => match entry.first() {
            Some(Reply::Text(id)) => Ok((entries.len(), id.clone())),
            _ => bail!("an entry begins with its ID"),
        },
        _ => bail!("there are no entries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Reply {
        Reply::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn replies_are_read_when_they_are_whole() {
        let whole = b"*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nd\r\n$2\r\nhi\r\n$-1\r\n+OK\r\n";
        let list = &whole[..whole.len() - 5];
        for end in 0..list.len() {
            assert_eq!(parse(&list[..end]).unwrap(), None, "{end}");
        }
        let entry = Reply::List(vec![text("1-0"), Reply::List(vec![text("d"), text("hi")])]);
        let (reply, length) = parse(whole).unwrap().unwrap();
        assert_eq!((reply, length), (Reply::List(vec![entry.clone(), Reply::Nil]), list.len()));
        assert_eq!(parse(&whole[length..]).unwrap(), Some((text("OK"), 5)));
        assert_eq!(entries(&Reply::List(vec![entry])).unwrap(), (1, Bytes::from_static(b"1-0")));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(parse(b"-ERR no\r\n").unwrap_err().to_string().contains("ERR no"));
        assert!(parse(b"?\r\n").is_err() && parse(b"\r\n").is_err() && parse(b"$x\r\n").is_err());
        assert!(entries(&Reply::Nil).is_err() && entries(&Reply::List(vec![])).is_err());
    }

    #[test]
    fn commands_are_lists_of_words() {
        let mut out = Vec::new();
        command(&mut out, &[b"XADD", b"k", b"*"]);
        assert_eq!(out, b"*3\r\n$4\r\nXADD\r\n$1\r\nk\r\n$1\r\n*\r\n");
    }
}
