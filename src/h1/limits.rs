//! How much of a message is taken before its body.

/// Limits of a head, from the listener's settings or the pool's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes, first line and final empty line included.
    pub head_bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

impl Default for Limits {
    /// 32 KiB and 100 fields: room for a shop's cookies, as other proxies have it.
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            fields: 100,
        }
    }
}

/// Bytes of a line that says the size of a chunk. A reader's buffer has to hold that much.
pub const CHUNK_LINE_BYTES: usize = 1024;

/// Digits of a chunk's size. Leading zeros are allowed by the grammar; these are enough for them.
pub(super) const CHUNK_SIZE_DIGITS: usize = 16;

/// Bytes of chunk extensions of one body, beyond as many as it has bytes of content: extensions go to
/// nobody, so a body that is mostly extensions is an attack on the reader.
pub(super) const EXTENSION_BYTES: u64 = 16 * 1024;

/// Limits of a trailer section: what gRPC, checksums and signatures need is far less.
pub(super) const TRAILERS: Limits = Limits {
    head_bytes: 8 * 1024,
    fields: 32,
};
