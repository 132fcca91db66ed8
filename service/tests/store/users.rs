//! Users by name.

use insurance_service::domain::ids::{DriverId, UserRole};
use insurance_service::store::users::find_by_name;

use crate::support::Fixture;

#[tokio::test]
async fn seeded_users_are_found_with_their_roles() {
    let fixture = Fixture::seeded().await;
    let admin = find_by_name(&fixture.pool, "admin")
        .await
        .unwrap()
        .expect("the administrator");
    assert_eq!((admin.role, admin.driver_id), (UserRole::Admin, None));
    assert!(admin.password_hash.starts_with("$argon2id$"));
    let driver = find_by_name(&fixture.pool, "driver1")
        .await
        .unwrap()
        .expect("the first driver");
    assert_eq!((driver.role, driver.driver_id), (UserRole::Driver, Some(DriverId(1))));
    assert_eq!(find_by_name(&fixture.pool, "Admin").await.unwrap(), None);
}
