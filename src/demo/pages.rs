//! The shop's pages: small, whole in themselves, and each says who served it.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::sessions::{Basket, items};

/// Something to buy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) cents: u32,
}

/// All that there is to buy; product N of the paths is the one at N - 1.
pub(super) const PRODUCTS: [Product; 6] = [
    Product {
        name: "Teapot",
        about: "Short and stout. Will not brew coffee (RFC 2324).",
        cents: 2_900,
    },
    Product {
        name: "Trolley",
        about: "Four wheels, all of them straight.",
        cents: 8_950,
    },
    Product {
        name: "Umbrella",
        about: "For health checks in bad weather.",
        cents: 1_900,
    },
    Product {
        name: "Ladder",
        about: "Seven layers.",
        cents: 4_700,
    },
    Product {
        name: "Doormat",
        about: "For the forecourt. Says hello.",
        cents: 1_450,
    },
    Product {
        name: "Bell",
        about: "Rings once for each request that is lost. Rather quiet.",
        cents: 999,
    },
];

/// What every page knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Who serves it.
    pub(super) backend: &'a str,
    /// The shopper's basket, as this backend knows it.
    pub(super) basket: &'a Basket,
}

impl Frame<'_> {
    pub(super) fn home(&self) -> String {
        self.page(
            "Welcome",
            "<p>A little shop on four backends, behind one door. Have a look at <a href=/products>what there is</a>, \
             fill <a href=/basket>your basket</a>, and see below who served you.</p>\n",
        )
    }

    pub(super) fn products(&self) -> String {
        let mut body = String::from("<ul>\n");
        for (index, product) in PRODUCTS.iter().enumerate() {
            let (number, price) = (index + 1, price(product.cents));
            let _ = writeln!(
                body,
                "<li><a href=/products/{number}>{}</a> <span>{price}</span>",
                product.name
            );
        }
        body.push_str("</ul>\n");
        self.page("Products", &body)
    }

    /// The page of the product at `index`.
    pub(super) fn product(&self, index: usize) -> String {
        let (product, number) = (PRODUCTS[index], index + 1);
        let body = format!(
            "<p>{}</p>\n<p>{}</p>\n<form method=post action=/basket>\
             <input type=hidden name=product value={number}><button>Add to the basket</button></form>\n",
            escape(product.about),
            price(product.cents)
        );
        self.page(product.name, &body)
    }

    pub(super) fn basket(&self) -> String {
        if items(self.basket) == 0 {
            return self.page(
                "Basket",
                "<p>It is empty. <a href=/products>Fill it?</a></p>\n",
            );
        }
        let mut body = String::from("<ul>\n");
        let mut sum = 0;
        for (product, quantity) in PRODUCTS.iter().zip(self.basket) {
            if *quantity > 0 {
                let cents = product.cents * u32::from(*quantity);
                sum += cents;
                let _ = writeln!(
                    body,
                    "<li>{quantity} × {} <span>{}</span>",
                    product.name,
                    price(cents)
                );
            }
        }
        let _ = write!(
            body,
            "<li><b>Together</b> <span>{}</span>\n</ul>\n\
             <form method=post action=/checkout><button>Buy it all</button></form>\n",
            price(sum)
        );
        self.page("Basket", &body)
    }

    pub(super) fn thanks(&self, order: &str) -> String {
        let body = format!("<p>Thank you. Your order is number\n<b>{order}</b>.</p>\n");
        self.page("Ordered", &body)
    }

    /// A page that says why not; `what` may come from a client.
    pub(super) fn refusal(&self, title: &str, what: &str) -> String {
        let body = format!(
            "<p>{}</p>\n<p><a href=/products>Back to the shop</a></p>\n",
            escape(what)
        );
        self.page(title, &body)
    }

    fn page(&self, title: &str, body: &str) -> String {
        let count = items(self.basket);
        let plural = if count == 1 { "" } else { "s" };
        let backend = escape(self.backend);
        // What people grep for stands on a line of its own.
        format!(
            "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
             <meta name=viewport content=\"width=device-width\">\n<title>{title} · The forecourt</title>\n\
             <style>{STYLE}</style>\n\
             <nav><a href=/>The forecourt</a> <a href=/products>Products</a> <a href=/basket>Basket</a></nav>\n\
             <h1>{title}</h1>\n{body}<footer class={backend}>\n\
             served by {backend}, {count} item{plural} in the basket\n</footer>\n</html>\n"
        )
    }
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(char),
        }
    }
    Cow::Owned(escaped)
}

fn price(cents: u32) -> String {
    format!("{}.{:02} €", cents / 100, cents % 100)
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:2em auto;padding:0 1em;color:#223}\
    nav a{margin-right:1em}a{color:#146}ul{list-style:none;padding:0}li{border-bottom:1px solid #ddd;padding:.4em 0}\
    span{float:right}button{font:inherit;padding:.4em 1em;border:0;border-radius:.3em;background:#146;color:#fff}\
    footer{margin-top:3em;padding:.4em .8em;border-left:.5em solid;background:#f4f4f6}\
    .blue{border-color:#36c}.green{border-color:#393}.amber{border-color:#fb0}.coral{border-color:#f75}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_is_text_and_never_markup() {
        let frame = Frame {
            backend: "blue",
            basket: &Basket::default(),
        };
        let page = frame.refusal("No", "</p><script src=\"x\">'&");
        assert!(page.contains("&lt;/p&gt;&lt;script src=&quot;x&quot;&gt;&#39;&amp;"));
        assert!(!page.contains("<script"));
    }

    #[test]
    fn each_page_says_who_served_it_and_what_is_in_the_basket() {
        let mut basket = Basket::default();
        basket[1] = 2;
        let frame = Frame {
            backend: "blue",
            basket: &basket,
        };
        for page in [
            frame.home(),
            frame.products(),
            frame.product(0),
            frame.basket(),
            frame.thanks("1"),
            frame.refusal("a", "b"),
        ] {
            assert!(
                page.lines()
                    .any(|line| line == "served by blue, 2 items in the basket"),
                "{page}"
            );
            assert!(page.ends_with("</html>\n"));
        }
        assert!(frame.basket().contains("179.00 €"), "{}", frame.basket());
    }
}
