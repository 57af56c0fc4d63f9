//! What a backend is told of the certificate that a client has shown: the fields `Client-Cert` (RFC 9440) and
//! `Client-Cert-Subject`. Made once for each connection.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use x509_parser::der_parser::asn1_rs::Any;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

/// A client's certificate that was verified, in the words of the fields that carry it.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The value of `Client-Cert`: the DER between colons, in base64 (RFC 9440 section 2.1).
    pub der: Box<[u8]>,
    /// The value of `Client-Cert-Subject`: the subject's name as RFC 4514 writes it, in ASCII.
    pub subject: Box<[u8]>,
}

impl ClientCertificate {
    /// Of a chain as TLS gives it, the client's own certificate first.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let own = chain.first()?;
        let mut der = String::from(":");
        STANDARD.encode_string(own, &mut der);
        der.push(':');
        // It has been verified by another reader; should this one not understand it, it has no name.
        let subject = X509Certificate::from_der(own).map_or_else(
            |_| String::new(),
            |(_, certificate)| distinguished_name(certificate.subject()),
        );
        Some(Self {
            der: der.into_bytes().into(),
            subject: subject.into_bytes().into(),
        })
    }
}

/// A name as RFC 4514 writes it: from its end to its start, with everything escaped that could be taken for
/// something else, and what is not printable ASCII in hexadecimal.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (at, part) in parts.iter().rev().enumerate() {
        for (of_part, attribute) in part.iter().enumerate() {
            match (at, of_part) {
                (0, 0) => {}
                (_, 0) => text.push(','),
                _ => text.push('+'),
            }
            let kind = attribute.attr_type().to_id_string();
            match (short(&kind), attribute.as_str()) {
                (Some(short), Ok(value)) => {
                    text.push_str(short);
                    text.push('=');
                    escape(value, &mut text);
                }
                (short, _) => {
                    text.push_str(short.unwrap_or(&kind));
                    text.push_str("=#");
                    hexadecimal(attribute.attr_value(), &mut text);
                }
            }
        }
    }
    text
}

/// The names that RFC 4514 section 3 has for kinds of attributes.
fn short(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => return None,
    })
}

fn escape(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let at_edge = (at == 0 && matches!(byte, b' ' | b'#')) || (at == last && byte == b' ');
        let special = matches!(byte, b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=');
        match byte {
            b' '..=b'~' if special || at_edge => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to memory does not fail.
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

/// The content of a value that is no text.
fn hexadecimal(value: &Any<'_>, text: &mut String) {
    for byte in value.data {
        let _ = write!(text, "{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, &str)]) -> String {
        let mut name = DistinguishedName::new();
        for (kind, value) in parts {
            name.push(kind.clone(), *value);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let told = ClientCertificate::of(&[made.der().clone()]).unwrap();
        let inside = &told.der[1..told.der.len() - 1];
        assert_eq!((told.der[0], told.der.last()), (b':', Some(&b':')));
        assert_eq!(STANDARD.decode(inside).unwrap(), made.der().to_vec());
        String::from_utf8(told.subject.into()).unwrap()
    }

    #[test]
    fn names_are_written_from_their_end() {
        let parts = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Shop"),
            (DnType::CommonName, "till 1"),
        ];
        assert_eq!(subject(&parts), "CN=till 1,O=Shop,C=DE");
    }

    #[test]
    fn a_name_cannot_pretend_to_be_another() {
        let odd = " a, O=Admin+\u{e4}\r\n ";
        assert_eq!(
            subject(&[(DnType::CommonName, odd)]),
            r"CN=\ a\, O\=Admin\+\C3\A4\0D\0A\ "
        );
        assert_eq!(subject(&[(DnType::CommonName, "#1")]), r"CN=\#1");
    }

    #[test]
    fn no_certificate_is_none() {
        assert!(ClientCertificate::of(&[]).is_none());
    }
}
