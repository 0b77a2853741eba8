//! The body of "Put Block List": `<BlockList>` with `<Latest>`, `<Uncommitted>` and `<Committed>`, each with the id of a block.

/// The ids in their order; `None`: it is no such list. What is written already is not kept in blocks, so `<Committed>` names one
/// that is not there.
pub(super) fn read(text: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let text = match text.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>")?.1.trim_start(),
        None => text,
    };
    if text == "<BlockList/>" || text == "<BlockList />" {
        return Some(Vec::new());
    }
    let mut rest = text.strip_prefix("<BlockList>")?.strip_suffix("</BlockList>")?.trim();
    let mut ids = Vec::new();
    while !rest.is_empty() {
        let (name, behind) = rest.strip_prefix('<')?.split_once('>')?;
        if !matches!(name, "Latest" | "Uncommitted" | "Committed") {
            return None;
        }
        let (id, behind) = behind.split_once("</")?;
        rest = behind.strip_prefix(name)?.strip_prefix('>')?.trim_start();
        ids.push(id.trim().to_owned());
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_clients_write_them() {
        let node = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><BlockList><Latest>QUFB</Latest><Latest>QUFC</Latest></BlockList>";
        assert_eq!(read(node.as_bytes()).unwrap(), ["QUFB", "QUFC"]);
        let python =
            "<?xml version='1.0' encoding='utf-8'?>\n<BlockList><Latest>QUFB</Latest>\n</BlockList>\n";
        assert_eq!(read(python.as_bytes()).unwrap(), ["QUFB"]);
        assert_eq!(read(b"<BlockList />").unwrap(), Vec::<String>::new());
        for wrong in [
            "",
            "{}",
            "<BlockList><Latest>x</Other></BlockList>",
            "<BlockList><Evil>x</Evil></BlockList>",
            "<BlockList><Latest>x",
            "<!DOCTYPE x><BlockList></BlockList>",
        ] {
            assert!(read(wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(read(&[0xff, 0xfe]).is_none());
    }
}
