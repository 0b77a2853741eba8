//! How the TPM writes: whole numbers with the greatest byte first, buffers behind their 16-bit size (part 2, section 4).

/// Reads off the front; `None` when there is less than that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A buffer behind its size.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let size = self.u16()?;
        self.take(size.into())
    }
}

/// Puts a buffer behind its size. All here are shorter than 64 KiB by their nature: keys, digests and what is made of them.
pub(crate) fn put_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    let size = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&bytes[..size.into()]);
}

/// A buffer behind its size.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    put_sized(&mut out, bytes);
    out
}

/// Buffers one after the other.
pub(crate) fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
