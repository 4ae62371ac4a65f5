# Pre-shared keys and who may use them.
lab "secrets" {}
network "wan" { prefix = "198.51.100.0/24" }
node "a" {
  interface "wan" { network = network.wan }
  connection "b" { # want: Connection without a secret: No secret is for b at node.a; declare one: secret "psk" { ids = ["b.example.org"], secret = "…" }.
    remote_addrs = [node.b.interface.wan]
    local { id = "a.example.org" }
    remote { id = "b.example.org" }
    child "net" {}
  }
  connection "by-address" { # want: Connection without a secret: No secret is for by-address at node.a; declare one: secret "psk" { ids = ["198.51.100.2"], secret = "…" }.
    remote_addrs = [node.b.interface.wan]
    child "net" {}
  }
}
node "b" {
  interface "wan" { network = network.wan }
  connection "a" {
    remote_addrs = [node.a.interface.wan]
    child "net" {}
  }
}
secret "only-b" {
  secret = "x"
  nodes  = [node.b]
}
secret "others" { # want: Secret "others" is not used
  secret = "0s3q2+7w=="
  ids    = ["x.example.org", "@y.example.org", "z@example.org", "keyid:z"]
}
