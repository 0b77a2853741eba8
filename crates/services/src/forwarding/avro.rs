//! Avro object container files of a hub's messages ("Apache Avro Specification", "Object Container Files"), in the schema that
//! Azure's hub has for them: enqueued time, properties, system properties, body.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::hub_message::{HubMessage, Names};

/// The schema (Azure article "Query Avro data by using Azure Data Lake Analytics", which reads such files).
const SCHEMA: &str = concat!(
    r#"{"type":"record","name":"Message","namespace":"Microsoft.Azure.Devices","fields":["#,
    r#"{"name":"EnqueuedTimeUtc","type":"string"},"#,
    r#"{"name":"Properties","type":{"type":"map","values":"string"}},"#,
    r#"{"name":"SystemProperties","type":{"type":"map","values":"string"}},"#,
    r#"{"name":"Body","type":["null","bytes"]}]}"#
);

/// What stands between the blocks of one file.
pub(super) type Sync = [u8; 16];

/// How a file begins.
pub(super) fn header(sync: &Sync) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(b"Obj\x01");
    let codec = [("avro.schema", Cow::Borrowed(SCHEMA)), ("avro.codec", Cow::Borrowed("null"))];
    map(&mut out, codec.into_iter());
    out.put_slice(sync);
    out.freeze()
}

/// Messages.
pub(super) fn block(messages: &[HubMessage], sync: &Sync) -> Bytes {
    let mut records = BytesMut::new();
    for message in messages {
        string(&mut records, message.enqueued().to_string().as_bytes());
        map(&mut records, message.properties());
        map(&mut records, message.system(Names::Blob).into_iter());
        // The second branch of the union.
        long(&mut records, 1);
        string(&mut records, &message.body);
    }
    let mut out = BytesMut::new();
    length(&mut out, messages.len());
    length(&mut out, records.len());
    out.put(records);
    out.put_slice(sync);
    out.freeze()
}

/// A map in one block of pairs, and the empty block that ends it.
fn map<'m>(out: &mut BytesMut, pairs: impl Iterator<Item = (&'m str, Cow<'m, str>)>) {
    let pairs: Vec<_> = pairs.collect();
    if !pairs.is_empty() {
        length(out, pairs.len());
        for (name, value) in pairs {
            string(out, name.as_bytes());
            string(out, value.as_bytes());
        }
    }
    long(out, 0);
}

fn string(out: &mut BytesMut, bytes: &[u8]) {
    length(out, bytes.len());
    out.put_slice(bytes);
}

fn length(out: &mut BytesMut, length: usize) {
    long(out, i64::try_from(length).unwrap_or(i64::MAX));
}

/// Zigzag, then seven bits a byte, the lowest first.
fn long(out: &mut BytesMut, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::super::hub_message::tests::record;
    use super::*;

    #[test]
    fn numbers_are_those_of_the_specification() {
        for (number, expected) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-2, &[3]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (i64::MIN, &[0xff; 10]),
        ] {
            let mut out = BytesMut::new();
            long(&mut out, number);
            let expected =
                if number == i64::MIN { [&[0xff; 9][..], &[1]].concat() } else { expected.to_vec() };
            assert_eq!(out, expected, "{number}");
        }
    }

    #[test]
    fn a_block_holds_whole_records() {
        let message = HubMessage::read(&record(b"\x01\x02", None, &[("a", "b")])).unwrap();
        let sync = [9; 16];
        let block = block(&[message], &sync);
        assert!(header(&sync).starts_with(b"Obj\x01\x04\x16avro.schema"));
        assert_eq!((block[0], &block[block.len() - 16..]), (2, &sync[..]));
        let body = &block[block.len() - 16 - 4..block.len() - 16];
        assert_eq!(body, [2, 4, 1, 2], "not null, two bytes");
        assert!(
            block.windows(5).any(|window| window == [2, 2, b'a', 2, b'b']),
            "one property, and it is there"
        );
    }
}
