//! What TLS means for HTTP/2, whose clients like to use one connection for many hosts.

use http::Request;
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;

use super::*;

/// Asks for these hosts, one after the other, on one connection that asked for `name`; gives the statuses.
fn statuses(visitor: &Visitor, address: SocketAddr, name: &str, hosts: &[&str]) -> Vec<u16> {
    let mut config = ClientConfig::clone(&visitor.config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let asked = async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, stream).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut client, connection) = ::h2::client::handshake(tls).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut statuses = Vec::new();
        for host in hosts {
            let request = Request::get(format!("https://{host}/"));
            let request = request.header("client-cert", ":bGllcw==:");
            client = client.ready().await.unwrap();
            let sent = client.send_request(request.body(()).unwrap(), true);
            statuses.push(sent.unwrap().0.await.unwrap().status().as_u16());
        }
        connection.abort();
        statuses
    };
    runtime
        .block_on(async { tokio::time::timeout(DEADLINE, asked).await })
        .unwrap()
}

#[test]
fn a_host_of_another_certificate_is_misdirected() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("ca");
    authority
        .issue(&["a.example", "both.example"])
        .write(folder.path(), "a");
    authority
        .issue(&["b.example", "both.example"])
        .write(folder.path(), "b");
    let balancer = Balancer::start(&configuration(folder.path(), &["a", "b"], "", &origin));
    let hosts = ["a.example", "b.example", "both.example", "c.example"];
    let address = balancer.address("secure");
    for (name, expected) in [
        ("a.example", [200, 421, 200, 200]),
        ("b.example", [421, 200, 200, 200]),
    ] {
        assert_eq!(statuses(&Visitor::new(), address, name, &hosts), expected);
    }
}

#[test]
fn backends_are_told_of_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::named("a");
    let authority = Authority::new("clients");
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &authority.pem).unwrap();
    let settings = format!(
        "client = {{ ca = \"{}\", mode = \"optional\" }}",
        ca.display()
    );
    let balancer = Balancer::start(&configuration(folder.path(), &["a"], &settings, &origin));
    let address = balancer.address("secure");
    let till = Visitor::showing(&authority.client("till 1", |_| {}));
    for (visitor, subject) in [(till, Some("CN=till 1")), (Visitor::new(), None)] {
        let told = statuses(&visitor, address, "a.example", &["a.example"; 2]);
        assert_eq!(told, [200, 200]);
        let brought = origin.last_received();
        let named = brought.field("client-cert-subject");
        assert_eq!(
            named.map(|named| named.contains("CN=till 1")),
            subject.map(|_| true)
        );
        assert_eq!(brought.field("client-cert").is_some(), subject.is_some());
        assert_ne!(brought.field("client-cert"), Some(":bGllcw==:"));
    }
}
