# Identities that would be taken for names although somebody meant something else, and keys
# that swanctl would read as others than those that were meant.
lab "identities" {}
network "wan" { prefix = "192.0.2.0/24" }
node "gw" {
  interface "wan" { network = network.wan }
  connection "pattern" {
    remote { id = "*@example.org" } # want: an identity that is a pattern is not available yet: "*@example.org" is a pattern, which comes later
    child "c" {}
  }
  connection "anyone" {
    remote { id = "*" } # want: an identity that is a pattern is not available yet: "*" is a pattern: write "%any" for anyone.
    child "c" {}
  }
  connection "prefix" {
    remote { id = "192.0.2.0/24" } # want: an identity that is a prefix is not available yet
    child "c" {}
  }
  connection "range" {
    remote { id = "10.0.0.1-10.0.0.9" } # want: an identity that is a range of addresses is not available yet
    child "c" {}
  }
  connection "misspelt" {
    local { id = "10.0.0.256" } # want: Invalid id: "10.0.0.256" looks like an address and is none: correct it, or write "fqdn:10.0.0.256" to use it as a name.
    child "c" {}
  }
  connection "unknown-kind" {
    local { id = "name:gw" } # want: Invalid id: there is no kind "name" of identity: write "fqdn:", "email:", "ipv4:", "ipv6:" or "keyid:"; swanctl reads "name:gw" as "keyid:name:gw".
    child "c" {}
  }
  connection "other-program" {
    local { id = "FQDN/gw.example.org" } # want: Invalid id: "FQDN/gw.example.org" is not a name
    child "c" {}
  }
  connection "subject" {
    local { id = "C=DE, O=Example, CN=gw:1" } # want: an identity that is a distinguished name is not available yet
    child "c" {}
  }
  connection "kinds" {
    local { id = "dns:gw.example.org" }
    remote { id = "rfc822:user@example.org" }
    child "c" {}
  }
}
secret "anyone" {
  ids    = ["%any"]
  secret = "0X6f6e65:206b6579"
}
secret "ids" {
  ids    = ["*.example.org"] # want: an identity that is a pattern is not available yet
  secret = "one key"
}
secret "base64" { secret = "0Sb25lIGtleQ==" }
secret "no-padding" { secret = "0sb25lIGtleQ" } # want: behind 0s the Base64 lacks its padding, and swanctl would drop its last octets without a word: add "==" at its end; if the text itself is the key, write it in Base64, "0sMHNiMjVsSUd0bGVR".
secret "half-padding" { secret = "0Sb25lIGtleQ=" } # want: add "=" at its end
secret "too-much" { secret = "0sb25lIGtl=" } # want: the Base64 has 1 "=" at its end, where 0 belong
secret "cut" { secret = "0sb25lI" } # want: behind 0s stand 5 characters of Base64, which is no whole number of octets
secret "url" { secret = "0s_-8=" } # want: behind 0s stands Base64, and '_' belongs to the alphabet for URLs: write "+" for "-" and "/" for "_"
secret "lines" { secret = "0sb25l\nIGtl" } # want: behind 0s stands Base64, and '\n' is none of its characters
secret "text" { secret = "0secret key" } # want: behind 0s stands Base64, and ' ' is none of its characters; if the text itself is the key, write it in Base64, "0sMHNlY3JldCBrZXk=".
secret "empty" { secret = "0S" } # want: behind 0S Base64 is missing
secret "digits" { secret = "0Xdeag" } # want: behind 0X stand hexadecimal digits, and 'g' is none
secret "odd" { secret = "0Xdea" } # want: behind 0X an even number of hexadecimal digits is needed, and here are 3: one is missing, or the first is a 0 that was left out (swanctl reads "0x0dea")
secret "no-digits" { secret = "0x" } # want: behind 0x hexadecimal digits are missing
