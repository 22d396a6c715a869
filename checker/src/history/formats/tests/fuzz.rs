//! The fuzz target of the readers as a plain function: whatever the bytes, they answer, and what they accept can be exported.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::history::formats::export::{ExportOptions, write_edn};
use crate::history::formats::{Chunking, EdnValue, Format, Independent, ReadOptions, read};

/// Reads `bytes` as every format and as what they look like. It must neither panic nor hang, and an error is about a line that exists.
fn whatever_the_bytes(bytes: &[u8]) {
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
    let guessed = std::iter::once(None);
    for format in guessed.chain(Format::ALL.map(Some)) {
        for independent in [Independent::Yes, Independent::No] {
            let options = ReadOptions {
                format,
                independent,
                initial: EdnValue::parse("0"),
                chunking: Chunking { threads: 1, bytes: 64 },
            };
            match read(bytes, &options) {
                Ok(import) => {
                    // No reader may make much out of little.
                    assert!(import.history.operations.len() + import.history.marks.len() <= bytes.len());
                    write_edn(&import.history, &ExportOptions::default(), &mut std::io::sink()).unwrap();
                }
                Err(error) => {
                    assert!((1..=lines).contains(&error.line), "{error}: {:?}", String::from_utf8_lossy(bytes));
                    assert!(error.to_string().len() < 4_000);
                }
            }
        }
    }
}

const SEEDS: [&str; 6] = [
    "{\"proc\":3,\"f\":\"cas\",\"key\":\"17\",\"arg\":[1,2],\"res\":true,\"inv\":10,\"ret\":25}\n{\"proc\":3,\"f\":\"read\",\"key\":\"17\",\"arg\":null,\"res\":42,\"inv\":100,\"ret\":250}\n",
    "{\"time\":1,\"type\":\"invoke\",\"process\":3,\"f\":\"write\",\"key\":\"k\",\"value\":17}\n{\"time\":2,\"type\":\"ok\",\"process\":3,\"f\":\"write\",\"key\":\"k\",\"value\":17}\n",
    "[{:index 0 :time 5 :process 0, :type :invoke, :f :cas, :value [:k [1 2N]]}\n {:index 1 :time 6 :process 0, :type :fail, :f :cas, :value [:k [1 2]] :error [:mismatch 3]}\n {:index 2 :process :nemesis :type :info :f [:a :b] :value #{1.5M 1/2 ##Inf \\newline \"\\u00e9\" #inst \"x\"}}]",
    "{:process 9, :type :invoke, :f :append, :key \"0\", :value \"x 9 0 y\"}\n{:process 9, :type :ok, :f :append, :key \"0\", :value \"x 9 0 y\"}\n",
    "INFO  jepsen.util - 0\t:invoke\t:cas\t[3 0]\nINFO  jepsen.util - 0\t:fail\t:cas\t[3 0]\n",
    "#:ns{:a 1} #_ ^{:x y} #foo (1 2) #\"re\\\"\" #'v ; c\n",
];

#[test]
fn no_bytes_make_a_reader_panic_or_hang() {
    let mut chance = ChaCha8Rng::seed_from_u64(30);
    for round in 0..4_000 {
        let mut bytes = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..chance.random_range(0..6) {
            let place = chance.random_range(0..=bytes.len());
            match chance.random_range(0..5) {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, chance.random()),
                2 => bytes.insert(place, b"{}[]()\"\\#:;^,\n\t -09eNM/"[chance.random_range(0..23)]),
                3 if place < bytes.len() => {
                    bytes.remove(place);
                }
                _ => {
                    let other = SEEDS[chance.random_range(0..SEEDS.len())].as_bytes();
                    let from = chance.random_range(0..other.len());
                    let to = chance.random_range(from..other.len());
                    bytes.splice(place..place, other[from..to].iter().copied());
                }
            }
        }
        whatever_the_bytes(&bytes);
    }
}

#[test]
fn noise_is_refused_or_empty() {
    let mut chance = ChaCha8Rng::seed_from_u64(31);
    for length in 0..200 {
        let mut bytes = vec![0; length];
        chance.fill_bytes(&mut bytes);
        whatever_the_bytes(&bytes);
    }
}

#[test]
fn deep_nesting_of_any_kind_is_refused_at_once() {
    for opener in [
        "[",
        "(",
        "{",
        "#{",
        "#_ ",
        "^",
        "#a ",
        "#^",
        "#:a{",
        "{:value [",
        "\"\\",
        "##",
        "#'",
    ] {
        whatever_the_bytes(opener.repeat(200_000).as_bytes());
        whatever_the_bytes(("{:process 0 :type :invoke :f :write :value ".to_owned() + &opener.repeat(2_000)).as_bytes());
        let closed = "[".repeat(45) + "1" + &"]".repeat(45);
        whatever_the_bytes(format!("{{:process 0 :type :invoke :f :write :value {opener}{closed}").as_bytes());
    }
    let pairs = "[[".repeat(22) + "1 2" + &"] 1]".repeat(22);
    whatever_the_bytes(format!("{{:process 0 :type :invoke :f :write :value {pairs}}}").as_bytes());
}
