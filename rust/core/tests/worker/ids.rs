//! Ids of requests and answers.

use std::collections::HashSet;

use penstock_core::worker::Ids;

#[test]
fn a_client_s_own_id_is_kept_if_it_has_the_allowed_form() {
    let mut ids = Ids::seeded(1);
    let longest = "x".repeat(128);
    for own in ["a", "A-z_0.9", &longest] {
        assert_eq!(ids.request_id(Some(own)), own);
    }
    for own in ["", "a b", "ä", "a\r\nb", "a\"", &format!("{longest}x")] {
        let made = ids.request_id(Some(own));
        assert!(made.starts_with("req-") && made.len() == 28, "{own}: {made}");
    }
}

#[test]
fn ids_are_new_each_time_and_follow_from_the_seed() {
    let of_seed = |seed| {
        let mut ids = Ids::seeded(seed);
        (0..1000).map(|_| ids.answer_id("chatcmpl-")).collect::<Vec<_>>()
    };
    let made = of_seed(7);
    assert_eq!(made.iter().collect::<HashSet<_>>().len(), 1000);
    assert!(made.iter().all(|id| id.starts_with("chatcmpl-") && id.len() == 41));
    assert_eq!(of_seed(7), made);
    assert_ne!(of_seed(8)[0], made[0]);
}
