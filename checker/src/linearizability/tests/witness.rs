//! What a person reads, and what a machine judges again.

use insta::assert_snapshot;

use crate::history::History;
use crate::history::formats::{ReadOptions, read};
use crate::history::testing::of_notation;
use crate::linearizability::{Witness, check, first_violation};
use crate::verdict::Verdict;

fn witness(history: &History) -> Witness {
    let results = check(history);
    Witness::of(history, first_violation(&results).expect("the history is invalid")).unwrap()
}

fn text(notation: &str) -> String {
    witness(&of_notation(notation)).text()
}

#[test]
fn a_stale_read() {
    assert_snapshot!(text("2 write 16 1100 1150 \n 3 write 17 1190 1203 \n 5 read 16 1207 1209 \n 4 read 17 1300 1301"), @r"
    key `k` is not linearizable, as these 3 operations show

      write 17 by process 3 returned at 1.203 s, before process 5 began the read at 1.207 s that still saw 16
      16 came first: write 16 by process 2 returned at 1.150 s, before process 3 began write 17 at 1.190 s

      invoked  returned  process  node  operation   lines
      1.100 s  1.150 s   2        n2    write 16    1, 2
      1.190 s  1.203 s   3        n3    write 17    3, 4
      1.207 s  1.209 s   5        n5    read -> 16  5, 6
    ");
}

#[test]
fn a_read_of_nothing_after_a_write() {
    assert_snapshot!(text("1 write 16 1100 1150 \n 5 read - 1207 1209"), @r"
    key `k` is not linearizable, as these 2 operations show

      write 16 by process 1 returned at 1.150 s, before process 5 began the read at 1.207 s that still saw null
      null is the value before any write

      invoked  returned  process  node  operation     lines
      1.100 s  1.150 s   1        n1    write 16      1, 2
      1.207 s  1.209 s   5        n5    read -> null  3, 4
    ");
}

#[test]
fn reads_that_go_back() {
    assert_snapshot!(text("1 write 1 0 5 \n 2 write 2 10 - \n 3 read 2 20 30 \n 4 read 1 31 40"), @r"
    key `k` is not linearizable, as these 4 operations show

      the read of 2 by process 3 returned at 0.030 s, before process 4 began the read at 0.031 s that still saw 1
      1 came first: write 1 by process 1 returned at 0.005 s, before process 3 began the read at 0.020 s that saw 2

      invoked  returned  process  node  operation  lines
      0.000 s  0.005 s   1        n1    write 1    1, 2
      0.010 s  unknown   2        n2    write 2    3
      0.020 s  0.030 s   3        n3    read -> 2  4, 5
      0.031 s  0.040 s   4        n4    read -> 1  6, 7
    ");
}

#[test]
fn concurrent_writes_seen_in_two_orders() {
    assert_snapshot!(text("1 write 1 0 100 \n 2 write 2 0 100 \n 3 read 1 10 20 \n 3 read 2 30 40 \n 4 read 1 50 60"), @r"
    key `k` is not linearizable, as these 5 operations show

      the read of 2 by process 3 returned at 0.040 s, before process 4 began the read at 0.050 s that still saw 1
      1 came first: the read of 1 by process 3 returned at 0.020 s, before process 3 began the read at 0.030 s that saw 2

      invoked  returned  process  node  operation  lines
      0.000 s  0.100 s   1        n1    write 1    1, 9
      0.000 s  0.100 s   2        n2    write 2    2, 10
      0.010 s  0.020 s   3        n3    read -> 1  3, 4
      0.030 s  0.040 s   3        n3    read -> 2  5, 6
      0.050 s  0.060 s   4        n4    read -> 1  7, 8
    ");
}

#[test]
fn a_phantom() {
    assert_snapshot!(text("1 write 1 0 5 \n 2 read 99 10 20"), @r"
    key `k` is not linearizable, as this operation shows

      process 2 read 99 at 0.020 s, which nobody wrote

      invoked  returned  process  node  operation   lines
      0.010 s  0.020 s   2        n2    read -> 99  3, 4
    ");
}

#[test]
fn a_refused_write_that_was_read() {
    assert_snapshot!(text("1 write 1 0 5 fail \n 2 read 1 10 20"), @r"
    key `k` is not linearizable, as these 2 operations show

      process 2 read 1 at 0.020 s, although that write by process 1 was refused at 0.005 s

      invoked  returned  process  node  operation          lines
      0.000 s  0.005 s   1        n1    write 1 (refused)  1, 2
      0.010 s  0.020 s   2        n2    read -> 1          3, 4
    ");
}

#[test]
fn a_read_from_the_future() {
    assert_snapshot!(text("1 read 1 0 5 \n 2 write 1 6 9"), @r"
    key `k` is not linearizable, as these 2 operations show

      process 1 read 1 at 0.005 s, before process 2 began to write it at 0.006 s

      invoked  returned  process  node  operation  lines
      0.000 s  0.005 s   1        n1    read -> 1  1, 2
      0.006 s  0.009 s   2        n2    write 1    3, 4
    ");
}

#[test]
fn times_are_shown_as_finely_as_they_must_be() {
    let lines = [
        r#"{"time":1000000001,"type":"invoke","process":1,"f":"write","value":1}"#,
        r#"{"time":1000000450,"type":"ok","process":1,"f":"write","value":1}"#,
        r#"{"time":1000000451,"type":"invoke","process":2,"f":"read"}"#,
        r#"{"time":1000000999,"type":"ok","process":2,"f":"read","value":null}"#,
    ];
    assert_snapshot!(witness(&History::read(lines.join("\n").as_bytes()).unwrap()).text(), @r"
    the register is not linearizable, as these 2 operations show

      write 1 by process 1 returned at 1.000000450 s, before process 2 began the read at 1.000000451 s that still saw null
      null is the value before any write

      invoked        returned       process  node  operation     lines
      1.000000001 s  1.000000450 s  1        -     write 1       1, 2
      1.000000451 s  1.000000999 s  2        -     read -> null  3, 4
    ");
}

#[test]
fn hostile_text_is_spelled_out_in_the_text_and_kept_in_the_lines() {
    let lines = [
        r#"{"time":1,"type":"invoke","process":1,"f":"read","key":"k\u001b[31m\n`","node":"n\u202e"}"#,
        r#"{"time":2,"type":"ok","process":1,"f":"read","key":"k\u001b[31m\n`","value":"\u009b\u0007 a value that is far too long to be shown in a table"}"#,
    ];
    let history = History::read(lines.join("\n").as_bytes()).unwrap();
    let witness = witness(&history);
    assert_snapshot!(witness.text(), @r#"
    key `k\u{1b}[31m\u{a}`` is not linearizable, as this operation shows

      process 1 read "\u{9b}\u0007 a value that is far too long to… at 0.000 s, which nobody wrote

      invoked  returned  process  node       operation                                               lines
      0.000 s  0.000 s   1        n\u{202e}  read -> "\u{9b}\u0007 a value that is far too long to…  1, 2
    "#);
    let lines = witness.history_lines();
    assert_eq!(
        lines.iter().filter(|&&byte| byte.is_ascii_control()).count(),
        2,
        "two line ends and no other control character"
    );
    let again = History::read(lines.as_slice()).unwrap();
    assert_eq!(again.keys.iter().collect::<Vec<_>>(), ["k\u{1b}[31m\n`"]);
    assert_eq!(again.nodes.iter().collect::<Vec<_>>(), ["n\u{202e}"]);
    assert_eq!(check(&again)[0].certificate, check(&history)[0].certificate);
}

#[test]
fn the_lines_are_a_history_with_the_same_witness() {
    let history = of_notation("1 write 1 0 5 \n 2 write 2 10 - \n 3 read 2 20 30 \n 4 read 1 31 40 \n 4 read 1 50 60");
    let first = witness(&history);
    assert_snapshot!(String::from_utf8(first.history_lines()).unwrap(), @r#"
    {"index":0,"time":0,"type":"invoke","process":1,"f":"write","key":"k","value":1,"node":"n1","line":1}
    {"index":1,"time":5000000,"type":"ok","process":1,"f":"write","key":"k","value":1,"node":"n1","line":2}
    {"index":2,"time":10000000,"type":"invoke","process":2,"f":"write","key":"k","value":2,"node":"n2","line":3}
    {"index":3,"time":20000000,"type":"invoke","process":3,"f":"read","key":"k","value":null,"node":"n3","line":4}
    {"index":4,"time":30000000,"type":"ok","process":3,"f":"read","key":"k","value":2,"node":"n3","line":5}
    {"index":5,"time":31000000,"type":"invoke","process":4,"f":"read","key":"k","value":null,"node":"n4","line":6}
    {"index":6,"time":40000000,"type":"ok","process":4,"f":"read","key":"k","value":1,"node":"n4","line":7}
    "#);
    let again = History::read(first.history_lines().as_slice()).unwrap();
    let second = witness(&again);
    assert_eq!(second.sentence, first.sentence);
    assert_eq!(second.because, first.because);
    assert_eq!(check(&again)[0].verdict, Verdict::Invalid);
}

#[test]
fn the_same_history_gives_the_same_bytes() {
    let notation = "1 write 1 0 5 \n 2 write 2 6 9 \n 3 read 1 10 20 \n 4 read 1 10 20 \n 5 read 1 10 20";
    let once = witness(&of_notation(notation));
    for _ in 0..5 {
        let again = witness(&of_notation(notation));
        assert_eq!((again.text(), again.history_lines()), (once.text(), once.history_lines()));
    }
}

#[test]
fn the_witness_of_a_file_whose_lines_are_not_in_order_can_be_read_again() {
    // Found by the hostile files: its completion stood before its invocation, as in the file, where the indices say otherwise.
    let file = b"{:index 1, :process 0, :type :ok, :f :read, :value 7}\n{:index 0, :process 0, :type :invoke, :f :read, :value nil}\n";
    let history = read(&file[..], &ReadOptions::default()).unwrap().history;
    let lines = witness(&history).history_lines();
    let again = History::read(lines.as_slice()).unwrap();
    assert_eq!(check(&again)[0].verdict, Verdict::Invalid);
}
