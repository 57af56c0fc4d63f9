//! Trailers by HTTP/2 (RFC 9113 section 8.1).

use http::HeaderMap;

use super::{HeadError, adopt_fields, give_fields};
use crate::message::head::{Head, Version};
use crate::message::hop_by_hop;

/// Writes a trailer section into `head`; what may not stand there is left out.
pub fn read(fields: &HeaderMap, most: usize, head: &mut Head) -> Result<(), HeadError> {
    head.begin(Version::Http2);
    adopt_fields(fields, most, head)?;
    hop_by_hop::strip_trailers(head);
    Ok(())
}

/// Makes a trailer section.
pub fn write(trailers: &Head) -> HeaderMap {
    let mut fields = HeaderMap::new();
    give_fields(trailers, |_| true, None, &mut fields);
    fields
}
