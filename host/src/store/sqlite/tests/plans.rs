//! No question walks over rows that it does not give: measured, that was the difference between
//! microseconds and seconds.

use rusqlite::{Connection, StatementStatus};

use super::{look, open};
use crate::store::sqlite::open::keep_statements;

#[test]
fn every_hot_statement_seeks() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let conn = look(folder.path());
    for sql in [
        "SELECT due, seq, attempt, owner FROM job WHERE lane=1 AND prio=1 AND due<=1
         ORDER BY due, seq LIMIT 1",
        "DELETE FROM job WHERE lane=1 AND prio=1 AND due=1 AND seq=1 AND attempt=1 AND owner=1",
        "UPDATE notif SET state=1 WHERE lane=1 AND seq=1",
        "SELECT id FROM idem WHERE tenant=1 AND key=x'00' AND expires>1",
        "SELECT seq FROM notif WHERE lane=1 AND seq>1 AND seq<9 ORDER BY seq DESC LIMIT 1",
        "SELECT seq FROM notif INDEXED BY notif_state WHERE lane=1 AND state=1 AND seq>1 AND seq<9
         ORDER BY seq DESC LIMIT 1",
        "SELECT seq FROM notif JOIN lane ON lane.n=lane WHERE id=x'00' AND lane.tenant=1",
        "SELECT n FROM lane WHERE tenant=1 AND (NULL IS NULL OR channel=NULL)",
        "SELECT min(due) FROM job WHERE lane=1 AND prio=1",
        "SELECT min(lane) FROM job WHERE lane>1",
        "SELECT eseq FROM event LEFT JOIN tenant ON tenant.n=event.tenant
         LEFT JOIN lane ON lane.n=event.lane WHERE event.tenant=1 AND eseq>1 ORDER BY eseq LIMIT 9",
        "SELECT eseq FROM event LEFT JOIN tenant ON tenant.n=event.tenant
         LEFT JOIN lane ON lane.n=event.lane WHERE eseq>1 ORDER BY eseq LIMIT 9",
        "DELETE FROM idem WHERE expires<1",
        "SELECT branch, state FROM notif WHERE parent=x'00'",
        "SELECT created, payload FROM parent JOIN body ON body.seq=parent.seq WHERE id=x'00'",
        "SELECT max(place) FROM serial WHERE lane=1 AND key='k'",
        "SELECT seq, place FROM serial WHERE lane=1 AND key='k' ORDER BY place LIMIT 1",
        "DELETE FROM serial WHERE seq=1",
        "DELETE FROM notif WHERE lane=1 AND seq>1 AND seq<=9 AND +state>=3 AND updated<9
           AND created<9 AND (parent IS NULL OR NOT EXISTS (SELECT 1 FROM notif AS other
             WHERE other.parent=notif.parent AND (other.state<3 OR other.updated>=9)))",
        "DELETE FROM attempt WHERE seq=1",
        "DELETE FROM event WHERE eseq<=1",
        "SELECT max(last) FROM span WHERE slot<=1",
    ] {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> =
            statement.query_map((), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let plan = plan.join("; ");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

/// How often a statement is prepared again when it is asked three times, with other values.
fn prepared_again(conn: &Connection) -> i32 {
    let mut statement = conn.prepare("SELECT value FROM json_each('[1,2,3]') LIMIT ?1").unwrap();
    for limit in [1_u8, 2, 3] {
        let rows = statement.query_map([limit], |_| Ok(())).unwrap();
        assert_eq!(rows.count(), usize::from(limit));
    }
    statement.get_status(StatementStatus::RePrepare)
}

#[test]
fn a_statement_is_prepared_once_whatever_its_values_are() {
    let conn = Connection::open_in_memory().unwrap();
    assert!(prepared_again(&conn) > 0, "otherwise this test says nothing");
    keep_statements(&conn).unwrap();
    assert_eq!(prepared_again(&conn), 0);
}
