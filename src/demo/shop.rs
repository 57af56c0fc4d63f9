//! The shop of one backend: paths, and what each answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderValue, SET_COOKIE,
};
use hyper::{Method, Request, Response, StatusCode};

use super::pages::{Frame, PRODUCTS};
use super::sessions::{self, Basket, MOST_OF_ONE, SessionId, Sessions};

/// The shop as one backend runs it, with the sessions that it remembers.
#[derive(Debug)]
pub(super) struct Shop {
    name: &'static str,
    delay: Duration,
    /// Whether it is made slow.
    slowed: Arc<AtomicBool>,
    sessions: Mutex<Sessions>,
}

/// An answer of the shop.
pub(super) type Answer = Response<Full<Bytes>>;

/// What becomes an answer.
struct Page {
    status: StatusCode,
    html: String,
    begun: Option<SessionId>,
    allow: Option<&'static str>,
}

impl Shop {
    /// A shop that takes `delay` for each page, and [`SLOW`] besides as long as `slowed` says so.
    pub(super) fn new(name: &'static str, delay: Duration, slowed: Arc<AtomicBool>) -> Self {
        Self {
            name,
            delay,
            slowed,
            sessions: Mutex::default(),
        }
    }

    /// How many sessions it remembers.
    pub(super) fn sessions(&self) -> usize {
        self.remembered().len()
    }

    /// Answers a request.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let path = request.uri().path().to_owned();
        if path == "/healthz" {
            let mut answer = Response::new(Full::from("ok\n"));
            self.sign(&mut answer, "text/plain; charset=utf-8", None);
            return answer;
        }
        let mut delay = self.delay;
        if self.slowed.load(Ordering::Relaxed) {
            delay += SLOW;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let session = session(&request);
        let basket = session.and_then(|id| self.remembered().basket(id).copied());
        let basket = basket.unwrap_or_default();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let posts = *request.method() == Method::POST;
        let frame = Frame {
            backend: self.name,
            basket: &basket,
        };
        let page = match path.as_str() {
            "/" if reads => Page::good(frame.home()),
            "/products" if reads => Page::good(frame.products()),
            "/basket" if reads => Page::good(frame.basket()),
            "/basket" if posts => self.add(session, request, frame).await,
            "/checkout" if posts => self.check_out(session, frame),
            "/" | "/products" => frame.not_allowed("GET, HEAD"),
            "/basket" => frame.not_allowed("GET, HEAD, POST"),
            "/checkout" => frame.not_allowed("POST"),
            _ => match product_of(&path) {
                Some(index) if reads => Page::good(frame.product(index)),
                Some(_) => frame.not_allowed("GET, HEAD"),
                None => frame.refuse(
                    StatusCode::NOT_FOUND,
                    &format!("There is nothing at {path}."),
                ),
            },
        };
        self.finish(page, session)
    }

    async fn add<B>(
        &self,
        session: Option<SessionId>,
        request: Request<B>,
        frame: Frame<'_>,
    ) -> Page
    where
        B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let form = match Limited::new(request.into_body(), MOST_FORM).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return frame.refuse(StatusCode::PAYLOAD_TOO_LARGE, "That is too much at once.");
            }
            Err(_) => {
                return frame.refuse(StatusCode::BAD_REQUEST, "The form did not come whole.");
            }
        };
        let form = String::from_utf8_lossy(&form);
        let (product, quantity) = match order_of(&form) {
            Ok(order) => order,
            Err(what) => return frame.refuse(StatusCode::BAD_REQUEST, &what),
        };
        let mut begun = None;
        let mut sessions = self.remembered();
        let id = match session {
            Some(id) if sessions.basket(id).is_some() => id,
            // A name that we did not give, or have forgotten, is never taken over.
            Some(_) | None => {
                let Some(id) = draw() else {
                    let what = "There is no randomness for a new session.";
                    return frame.refuse(StatusCode::SERVICE_UNAVAILABLE, what);
                };
                sessions.begin(id);
                begun = Some(id);
                id
            }
        };
        let mut basket = Basket::default();
        if let Some(kept) = sessions.basket(id) {
            sessions::add(kept, product, quantity);
            basket = *kept;
        }
        let frame = Frame {
            basket: &basket,
            ..frame
        };
        Page {
            begun,
            ..Page::good(frame.basket())
        }
    }

    fn check_out(&self, session: Option<SessionId>, frame: Frame<'_>) -> Page {
        let taken = session.and_then(|id| self.remembered().basket(id).map(std::mem::take));
        if taken.is_none_or(|basket| sessions::items(&basket) == 0) {
            return frame.refuse(
                StatusCode::CONFLICT,
                "There is nothing to pay: your basket is empty.",
            );
        }
        let order = format!("{}-{:06}", self.name, fastrand::u32(..1_000_000));
        let frame = Frame {
            basket: &Basket::default(),
            ..frame
        };
        Page::good(frame.thanks(&order))
    }

    fn finish(&self, page: Page, session: Option<SessionId>) -> Answer {
        let mut answer = Response::new(Full::from(page.html));
        *answer.status_mut() = page.status;
        let id = page.begun.or(session);
        let basket = id.and_then(|id| self.remembered().basket(id).copied());
        let count = basket.as_ref().map_or(0, sessions::items);
        self.sign(&mut answer, "text/html; charset=utf-8", Some(count));
        let fields = answer.headers_mut();
        if let Some(allow) = page.allow {
            fields.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(begun) = page.begun
            && let Ok(cookie) = HeaderValue::try_from(sessions::to_cookie(begun))
        {
            fields.insert(SET_COOKIE, cookie);
        }
        answer
    }

    fn sign(&self, answer: &mut Answer, kind: &'static str, items: Option<u32>) {
        let fields = answer.headers_mut();
        fields.insert("x-shop-backend", HeaderValue::from_static(self.name));
        if let Some(items) = items {
            fields.insert("x-shop-items", HeaderValue::from(items));
        }
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    }

    fn remembered(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn good(html: String) -> Self {
        Self {
            status: StatusCode::OK,
            html,
            begun: None,
            allow: None,
        }
    }
}

impl Frame<'_> {
    fn refuse(&self, status: StatusCode, what: &str) -> Page {
        let title = status.canonical_reason().unwrap_or("No");
        Page {
            status,
            ..Page::good(self.refusal(title, what))
        }
    }

    fn not_allowed(&self, allow: &'static str) -> Page {
        let what = format!("This page takes {allow}.");
        Page {
            allow: Some(allow),
            ..self.refuse(StatusCode::METHOD_NOT_ALLOWED, &what)
        }
    }
}

fn session<B>(request: &Request<B>) -> Option<SessionId> {
    let fields = request.headers().get_all(COOKIE);
    fields
        .iter()
        .find_map(|field| sessions::from_cookie(field.to_str().ok()?))
}

/// The index of the product that a path names.
fn product_of(path: &str) -> Option<usize> {
    product(path.strip_prefix("/products/")?)
}

/// The index of the product with that number.
fn product(number: &str) -> Option<usize> {
    let number: usize = number.parse().ok()?;
    (1..=PRODUCTS.len()).contains(&number).then(|| number - 1)
}

/// Product and quantity of a form, or what is wrong with it.
fn order_of(form: &str) -> Result<(usize, u8), String> {
    let value = |name: &str| {
        let mut pairs = form
            .trim_end()
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    };
    let named = value("product").ok_or("The form names no product.")?;
    let product = product(named).ok_or_else(|| format!("There is no product {named}."))?;
    let quantity = value("quantity").unwrap_or("1");
    let many = quantity.parse().ok();
    match many.filter(|many| (1..=MOST_OF_ONE).contains(many)) {
        Some(many) => Ok((product, many)),
        None => Err(format!("{quantity} of them cannot be had.")),
    }
}

fn draw() -> Option<SessionId> {
    let mut bytes = [0; size_of::<SessionId>()];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(SessionId::from_ne_bytes(bytes))
}

/// What a page of a shop that is made slow takes more: as long as a query that lost its index.
const SLOW: Duration = Duration::from_millis(800);

/// Bytes of a form: ours has a dozen.
const MOST_FORM: usize = 4096;

/// The pages bring their style along and need nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";

#[cfg(test)]
mod tests {
    use super::*;

    struct Shopper {
        shop: Shop,
        cookie: Option<String>,
    }

    impl Shopper {
        fn new() -> Self {
            Self {
                shop: Shop::new("blue", Duration::ZERO, Arc::default()),
                cookie: None,
            }
        }

        fn send(&mut self, method: &str, path: &str, form: &str) -> (u16, String, String) {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(cookie) = &self.cookie {
                request = request.header("cookie", cookie);
            }
            let request = request
                .body(Full::new(Bytes::from(form.to_owned())))
                .unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async {
                let answer = self.shop.answer(request).await;
                assert_eq!(answer.headers()["x-shop-backend"], "blue");
                if let Some(cookie) = answer.headers().get("set-cookie") {
                    let pair = cookie.to_str().unwrap().split(';').next();
                    self.cookie = pair.map(str::to_owned);
                }
                let items = answer.headers().get("x-shop-items");
                let items = items.map_or("", |items| items.to_str().unwrap()).to_owned();
                let status = answer.status().as_u16();
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                (status, items, String::from_utf8(body.to_vec()).unwrap())
            })
        }

        #[track_caller]
        fn sees(&mut self, method: &str, path: &str, form: &str, expected: (u16, &str)) -> String {
            let (status, items, page) = self.send(method, path, form);
            assert_eq!(
                (status, items.as_str()),
                expected,
                "{method} {path} {form}\n{page}"
            );
            page
        }
    }

    #[test]
    fn a_shopper_fills_a_basket_and_buys_it() {
        let mut shopper = Shopper::new();
        shopper.sees("GET", "/", "", (200, "0"));
        shopper.sees("GET", "/products", "", (200, "0"));
        shopper.sees("GET", "/products/6", "", (200, "0"));
        shopper.sees("GET", "/basket", "", (200, "0"));
        assert_eq!(shopper.shop.sessions(), 0, "who only looks costs no memory");
        shopper.sees("POST", "/basket", "product=2", (200, "1"));
        shopper.sees("POST", "/basket", "product=1&quantity=2", (200, "3"));
        let page = shopper.sees("GET", "/basket", "", (200, "3"));
        assert!(
            page.contains("1 × Trolley") && page.contains("2 × Teapot"),
            "{page}"
        );
        let page = shopper.sees("POST", "/checkout", "", (200, "0"));
        assert!(page.contains("<b>blue-"), "{page}");
        shopper.sees("POST", "/checkout", "", (409, "0"));
        shopper.sees("GET", "/basket", "", (200, "0"));
        assert_eq!(shopper.shop.sessions(), 1);
    }

    #[test]
    fn a_session_that_it_did_not_begin_is_not_taken_over() {
        let mut shopper = Shopper::new();
        let foreign = format!("shop-session={:032x}", 7);
        shopper.cookie = Some(foreign.clone());
        shopper.sees("GET", "/basket", "", (200, "0"));
        shopper.sees("POST", "/checkout", "", (409, "0"));
        shopper.sees("POST", "/basket", "product=1", (200, "1"));
        assert_ne!(shopper.cookie, Some(foreign));
    }

    #[test]
    fn what_is_wrong_is_said_and_harms_nobody() {
        let mut shopper = Shopper::new();
        for form in [
            "",
            "product",
            "product=",
            "product=0",
            "product=7",
            "product=-1",
            "product=1&quantity=0",
            "product=1&quantity=100",
        ] {
            shopper.sees("POST", "/basket", form, (400, "0"));
        }
        let page = shopper.sees("POST", "/basket", "product=<b>", (400, "0"));
        assert!(page.contains("no product &lt;b&gt;."), "{page}");
        shopper.sees("POST", "/basket", &"x".repeat(MOST_FORM + 1), (413, "0"));
        shopper.sees("GET", "/products/7", "", (404, "0"));
        shopper.sees("GET", "/products/1/2", "", (404, "0"));
        let page = shopper.sees("GET", "/'", "", (404, "0"));
        assert!(page.contains("at /&#39;."), "{page}");
        shopper.sees("GET", "/checkout", "", (405, "0"));
        shopper.sees("DELETE", "/basket", "", (405, "0"));
        shopper.sees("POST", "/products/1", "", (405, "0"));
        shopper.sees("GET", "/healthz", "", (200, ""));
    }
}
