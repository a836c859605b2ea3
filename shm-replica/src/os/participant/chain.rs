//! Boxes that go back to the service thread, one in the other: the cyclic thread frees nothing.

use super::mailbox::Mailbox;

/// What a chain is made of: each has room for another one.
pub(super) trait Link: Sized {
    /// The one that it holds.
    fn former(&mut self) -> &mut Option<Box<Self>>;
}

/// See the module's text. To be sent, never dropped: dropping one frees it.
#[derive(Debug)]
pub(super) struct Chain<T>(Option<Box<T>>);

impl<T: Link> Chain<T> {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Adds one, with whatever it holds itself. Real-time class: no allocation.
    pub(super) fn push(&mut self, mut one: Box<T>) {
        if let Some(rest) = self.0.take() {
            let mut last = one.former();
            while let Some(next) = last {
                last = next.former();
            }
            *last = Some(rest);
        }
        self.0 = Some(one);
    }

    /// Leaves all of it in a mailbox that the other side only takes from; what had been left and
    /// was not fetched goes with it, so that nobody waits for that. Each takeover adds three links
    /// at most. Real-time class: no allocation, no system call.
    pub(super) fn send(mut self, back: &Mailbox<T>) {
        let Some(first) = self.0.take() else { return };
        let mut all = Self(back.take());
        all.push(first);
        if let Some(all) = all.0 {
            let nothing = back.put(all);
            debug_assert!(nothing.is_none(), "the other side only takes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Numbered(u32, Option<Box<Self>>);

    impl Link for Numbered {
        fn former(&mut self) -> &mut Option<Box<Self>> {
            &mut self.1
        }
    }

    fn numbers(mailbox: &Mailbox<Numbered>) -> Vec<u32> {
        let mut found = Vec::new();
        let mut next = mailbox.take();
        while let Some(one) = next {
            found.push(one.0);
            next = one.1;
        }
        found
    }

    #[test]
    fn all_that_is_sent_back_arrives_with_what_it_holds_and_with_what_was_not_fetched() {
        let back = Mailbox::new();
        for numbers in [[1, 2], [3, 4]] {
            let mut chain = Chain::new();
            for number in numbers {
                chain.push(Box::new(Numbered(number, Some(Box::new(Numbered(10 * number, None))))));
            }
            chain.send(&back);
        }
        Chain::new().send(&back);
        assert_eq!(numbers(&back), [4, 40, 3, 30, 2, 20, 1, 10]);
        assert_eq!(numbers(&back), []);
    }
}
