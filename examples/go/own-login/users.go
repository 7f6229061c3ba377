package main

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
)

// user is a user of the shop. Pawl has neither the password nor the plan.
type user struct {
	id, email, plan string // the id is the externalId in Pawl: it never changes, and no other user gets it
	salt, hash      []byte
}

// users are the shop's own users by name. A real shop has them in its database.
type users map[string]user

func newUsers() users {
	ada := user{id: "shop-17", email: "ada@shop.example", plan: "gold", salt: make([]byte, 16)}
	rand.Read(ada.salt)
	ada.hash = hash("correct horse", ada.salt)
	return users{"ada": ada}
}

// check returns the user with a name and a password. An unknown name takes as long as a wrong password.
func (all users) check(name, password string) (user, bool) {
	u := all[name]
	same := subtle.ConstantTimeCompare(hash(password, u.salt), u.hash) == 1
	return u, same && u.hash != nil
}

func hash(password string, salt []byte) []byte {
	key, err := pbkdf2.Key(sha256.New, password, salt, 600_000, 32)
	if err != nil {
		panic(err) // the parameters above are valid
	}
	return key
}
