# find_package(orthant) for users: completed by the install rules.
