# What the language has and this version refuses by name.
lab "later" {}
network "lan" { prefix = "10.1.0.0/16" }
link "x" {
  queue = { discipline = "codel" } # want: discipline "codel" is not available yet
}
pki "corp" {} # want: the block pki is not available yet
fault "f" {} # want: the block fault is not available yet
node "a" {
  implementation = "strongswan" # want: implementation "strongswan" is not available yet
  dataplane      = "kernel" # want: dataplane "kernel" is not available yet
  interface "lan" {
    network = network.lan
    link    = link.x
  }
  connection "b" {
    remote_addrs  = [node.b.interface.lan]
    proposals     = ["aes256gcm16-prfsha384-x25519-ke1_mlkem768"] # want: the algorithm "ke1_mlkem768" is not available yet
    fragmentation = "yes" # want: fragmentation is not available yet
    mobike        = true # want: mobike is not available yet
    rekey_time    = "4h" # want: rekey_time is not available yet
    pools         = ["p"] # want: pools is not available yet
    local {
      auth = "pubkey" # want: auth "pubkey" is not available yet
      cert = pki.corp.cert.a # want: cert is not available yet
    }
    remote { id = "CN=b" } # want: an identity that is a distinguished name is not available yet
    child "net" {
      rekey_time = "1h" # want: rekey_time is not available yet
      mode       = "transport" # want: mode "transport" is not available yet
      remote_ts  = ["10.0.0.1-10.0.0.9", "dynamic[tcp]"] # want: a range of addresses in a traffic selector is not available yet # want: "dynamic" with a protocol is not available yet
      dpd_action = "restart" # want: dpd_action is not available yet
    }
  }
}
node "b" {
  interface "lan" { network = network.lan }
}
secret "psk" {
  secret = "x"
}
flow "f" {
  from     = node.a
  to       = node.b
  protocol = "tcp" # want: protocol "tcp" is not available yet
  start    = pki.corp.start # want: a reference to pki is not available yet
}
step "s" {
  at     = "1s"
  action = rekey(node.a.connection.b) # want: the action rekey is not available yet
}
