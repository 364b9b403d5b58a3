//! How much work was done: tests count it, since a clock proves nothing about growth. Steps of merging,
//! buckets that were looked into, characters that were scanned one by one. Elsewhere it is nothing.

#[cfg(test)]
thread_local! {
    static DONE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts one step, on this thread.
#[inline(always)]
pub fn done() {
    #[cfg(test)]
    DONE.set(DONE.get() + 1);
}

#[cfg(test)]
mod tests {
    use super::DONE;
    use crate::reference::{best_encoder, go_on};

    /// The steps that `text` takes, on a thread that has encoded nothing.
    fn steps(text: &str) -> usize {
        let count = || {
            let encoder = &best_encoder().0;
            DONE.set(0);
            encoder.count(text.as_bytes(), &go_on).unwrap();
            DONE.get()
        };
        std::thread::scope(|scope| scope.spawn(count).join().unwrap())
    }

    /// `count` of `chars`, in an order that repeats nothing and is the same each time.
    fn mixed(chars: &[char], count: usize) -> String {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            chars[(state >> 33) as usize % chars.len()]
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn work_grows_linearly_on_the_worst_inputs() {
        let range = |first: char, last: char| (first..=last).collect::<Vec<_>>();
        let letters = range('a', 'z');
        let base64 = [range('A', 'Z'), letters.clone(), range('0', '9'), vec!['+', '/']].concat();
        let mixtures = [
            letters,
            base64,
            range('A', 'Z'),
            vec!['a', 'b'],
            vec![' ', '\t'],
            vec![' ', '\n'],
            vec!['\'', 's', 'l'],
            range('!', '/'),
            range('\u{300}', '\u{36f}'),
            range('\u{430}', '\u{44f}'),
            range('\u{660}', '\u{669}'),
            range('\u{3041}', '\u{3096}'),
            range('\u{4e00}', '\u{9fff}'),
            range('\u{ac00}', '\u{d7a3}'),
            range('\u{1f300}', '\u{1f6ff}'),
            range('\u{1}', '\u{d7ff}'),
        ];
        let units = [
            "a", "Z", " ", "\t", "\n", "\r\n", "=", "7", "ab", "aab", "'s", "-=", "é", "漢", "の",
            "ก", "😀", "\u{301}", "\u{200b}", " \n", "\u{a0}", "\u{3000}", "٣", "x1", "zx", "_",
        ];
        let mixtures = mixtures.iter().map(|chars| {
            let name = format!("{:?}...", chars[0]);
            (name, Box::new(|count| mixed(chars, count)) as Box<dyn Fn(usize) -> String>)
        });
        let runs = units.iter().map(|unit| {
            let run = |count| unit.chars().cycle().take(count).collect();
            (format!("{unit:?}"), Box::new(run) as Box<dyn Fn(usize) -> String>)
        });
        let (small, large) = (10_000, 200_000);
        for (name, text) in mixtures.chain(runs) {
            let (of_small, of_large) = (steps(&text(small)), steps(&text(large)));
            let growth = of_large as f64 / of_small.max(100) as f64;
            assert!(growth < 22.0, "{name}: {of_small} steps, and {of_large} for 20 times as much");
            assert!(of_large < 40 * large, "{name}: {of_large} steps for {large} characters");
        }
    }
}
