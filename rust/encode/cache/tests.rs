use super::*;

/// Pretokens of many lengths, each with ids that follow from its number.
fn word(number: u32) -> (String, Vec<u32>) {
    let text = format!("{number}{}", "é".repeat(number as usize % 23));
    let count = 1 + number % 17;
    (text, (0..count).map(|at| number.wrapping_mul(31 + at) & 0xF_FFFF).collect())
}

fn known(cache: &mut Cache, text: &str) -> Option<Vec<u32>> {
    let (key, place) = cache.lines().key(text.as_bytes(), Span::all_of(text.as_bytes()));
    let known = cache.lines().lookup(crate::machine::lanes::portable::Portable, place, &key);
    cache.note_lookups(1, usize::from(!known.is_none()));
    let mut ids = Vec::new();
    known.emit(&mut ids).unwrap();
    let is_known = known.has_ids() || cache.emit_record(&known, text.as_bytes(), &mut ids).unwrap();
    is_known.then_some(ids)
}

fn keep(cache: &mut Cache, text: &str, ids: &[u32]) {
    let (key, _) = cache.lines().key(text.as_bytes(), Span::all_of(text.as_bytes()));
    cache.insert(key, text.as_bytes(), ids);
}

#[test]
fn what_is_kept_is_found_or_forgotten_but_never_another() {
    for limit in [0, 1, 1 << 20, DEFAULT_LIMIT, 32 << 20] {
        let mut cache = Cache::default();
        cache.begin(1, limit);
        for (count, at_least) in [(1_000, 950), (60_000, 50_000), (300_000, 50_000)] {
            for _ in 0..2 {
                for number in 0..count {
                    let (text, ids) = word(number);
                    if known(&mut cache, &text).is_none() {
                        keep(&mut cache, &text, &ids);
                    }
                    let found = known(&mut cache, &text);
                    assert!(found == Some(ids) || (found.is_none() && limit < 1 << 20), "{text}");
                }
            }
            let found = (0..count).filter(|&number| {
                let (text, ids) = word(number);
                known(&mut cache, &text).is_some_and(|known| known == ids || panic!("{text}"))
            });
            let found = found.count();
            assert!(found >= at_least || limit < DEFAULT_LIMIT, "{found} {:?}", cache.info());
            let CacheInfo { bytes, used, entries, .. } = cache.info();
            assert!(bytes <= limit && used <= entries, "{:?}", cache.info());
        }
        cache.begin(2, limit);
        assert_eq!(known(&mut cache, "1é"), None);
    }
}

/// Four small entries of one line have room in it and in the line beside it.
#[test]
fn what_has_room_in_either_of_two_lines_overwrites_nothing() {
    let mut cache = Cache::default();
    cache.begin(1, DEFAULT_LIMIT);
    let line_of = |cache: &mut Cache, text: &str| {
        let (key, _) = cache.lines().key(text.as_bytes(), Span::all_of(text.as_bytes()));
        cache.lines().line_index(key)
    };
    // Now there are lines.
    keep(&mut cache, "first", &[1]);
    let other_pair = line_of(&mut cache, "first") / 2;
    let texts = || (0..).map(|number| format!("q{number}"));
    let line = texts().map(|text| line_of(&mut cache, &text));
    let line = { line }.find(|line| line / 2 != other_pair).unwrap();
    let four: Vec<_> = texts().filter(|text| line_of(&mut cache, text) == line).take(4).collect();
    for (text, id) in four.iter().zip(7..) {
        keep(&mut cache, text, &[id]);
    }
    for (text, id) in four.iter().zip(7..) {
        assert_eq!(known(&mut cache, text), Some(vec![id]));
    }
}

/// What is found by another key is confirmed by its bytes, which only records have.
#[test]
fn a_key_is_exact_if_it_holds_all_bytes() {
    let cache = Cache::default();
    for length in 1..100 {
        let text = "x".repeat(length);
        let (key, _) = cache.lines().key(text.as_bytes(), Span::all_of(text.as_bytes()));
        assert_eq!(key.is_exact(), length <= cache_key::MAX_EXACT_KEY_BYTES, "{length}");
    }
}

/// A limit that is lowered holds as well, however lines and ring shared the memory before.
#[test]
fn it_stays_within_a_limit_that_is_lowered() {
    for (long, limit) in (0..40).map(|turn| (200 * turn, (1 << 20) + turn as usize * (1 << 16))) {
        let mut cache = Cache::default();
        cache.begin(1, DEFAULT_LIMIT);
        // Long pretokens, which go to the ring, again and again.
        for number in 0..4 * long {
            let text = format!("{}{}", number % long, "é".repeat(90));
            if known(&mut cache, &text).is_none() {
                keep(&mut cache, &text, &[number % long; 60]);
            }
        }
        // Short pretokens, which need lines only.
        for number in 0..4 * (8_000 - long) {
            let (text, id) = (format!("q{number}"), number % 1_000_000);
            keep(&mut cache, &text, &[id]);
        }
        cache.begin(1, limit);
        for number in 0..60_000 {
            let (text, ids) = word(number % 20_000);
            if known(&mut cache, &text).is_none() {
                keep(&mut cache, &text, &ids);
            }
            let info = cache.info();
            assert!(info.bytes <= limit, "{long} {limit} {info:?}");
        }
    }
    let mut cache = Cache::default();
    cache.begin(1, DEFAULT_LIMIT);
    let before = cache.counted;
    cache.begin(1, 0);
    assert!(before > 0 && cache.counted == 0, "what was given back still counts");
}

#[test]
fn it_begins_small_and_grows_as_it_pays() {
    let mut cache = Cache::default();
    cache.begin(1, DEFAULT_LIMIT);
    let take = |cache: &mut Cache, number: u32| {
        let (text, ids) = word(number);
        if known(cache, &text).is_none() {
            keep(cache, &text, &ids);
        }
    };
    // Few words, all new: it stays as it is.
    (0..10_000).for_each(|number| take(&mut cache, number));
    assert!(cache.info().bytes < 1 << 20, "{:?}", cache.info());
    // Some come often, as words do.
    (0..60_000).for_each(|n| take(&mut cache, n * 7919 % 20_000 * (n % 100) / 100));
    assert!(cache.info().bytes > 2 << 20, "{:?}", cache.info());
    cache.begin(1, 1 << 20);
    assert!(cache.info().bytes <= 1 << 20, "{:?}", cache.info());
    // With less allowed than it has room to grow to, it stays within that.
    cache.begin(3, DEFAULT_LIMIT);
    cache.begin(3, 3 << 20);
    (0..400_000).for_each(|number| take(&mut cache, number % 100_000));
    assert!(cache.info().bytes <= 3 << 20, "{:?}", cache.info());
    // Each comes again just after it was forgotten.
    cache.begin(2, DEFAULT_LIMIT);
    (0..400_000).for_each(|number| take(&mut cache, number % 20_000));
    assert!(cache.info().used > 18_000, "{:?}", cache.info());
}
