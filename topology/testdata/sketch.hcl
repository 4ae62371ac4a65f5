# The sketch of the design, completed to a whole lab: the nodes gw and pbx, the flow
# back, and the certificates that the sketch refers to.

lab "wifi-to-lte" {
  description = "A phone walks out of Wi-Fi range during a call; MOBIKE moves the tunnel to LTE."
  seed        = 1
  duration    = "40s"
}

network "internet" { prefix = "198.51.100.0/24" }
network "home" { prefix = "192.168.1.0/24" }
network "cell" { prefix = "100.64.0.0/16" }
network "office" { prefixes = ["10.1.0.0/16", "2001:db8:1::/64"] }

nat "cpe" {
  inside  = network.home
  outside = network.internet
  preset  = "port-restricted-cone"
}
nat "cgnat" {
  inside  = network.cell
  outside = network.internet
  preset  = "symmetric"
}

link "wifi" {
  delay  = "4ms"
  jitter = { distribution = "pareto", sigma = "2ms" }
  loss   = { model = "gilbert-elliott", p = 0.01, r = 0.3 }
  rate   = "80mbit"
  queue  = { discipline = "codel", limit = "100ms" }
}

pki "corp" {
  cert "phone" {
    subject_alt_names = ["phone@example.org"]
  }
  cert "gw" {
    subject_alt_names = ["gw.example.org"]
  }
}

node "phone" {
  interface "wlan0" {
    network = network.home
    link    = link.wifi
  }
  interface "lte0" {
    network = network.cell
    link    = { delay = "35ms" }
    up      = false
  }
  connection "office" {
    remote_addrs = [node.gw.interface.wan]
    mobike       = true
    local {
      auth = "pubkey"
      id   = "phone@example.org"
      cert = pki.corp.cert.phone
    }
    remote {
      auth = "pubkey"
      id   = "gw.example.org"
    }
    child "net" {
      remote_ts    = [network.office]
      start_action = "start"
    }
  }
}

node "gw" {
  interface "wan" {
    network = network.internet
  }
  interface "lan" {
    network = network.office
  }
  connection "phones" {
    mobike = true
    local {
      auth = "pubkey"
      id   = "gw.example.org"
      cert = pki.corp.cert.gw
    }
    remote {
      auth = "pubkey"
      id   = "phone@example.org"
    }
    child "net" {
      local_ts = [network.office]
    }
  }
}

node "pbx" {
  implementation = "host"
  interface "eth0" {
    network = network.office
  }
}

flow "call" {
  from     = node.phone
  to       = node.pbx
  protocol = "udp"
  rate     = "50pps"
  size     = 200
  start    = "2s"
}

flow "answer" {
  from     = node.pbx
  to       = node.phone
  protocol = "udp"
  rate     = flow.call.rate
  size     = flow.call.size
  start    = flow.call.start
}

step "out-of-range" {
  at     = "10s"
  action = link_down(node.phone.interface.wlan0)
}
step "on-lte" {
  at     = "10.4s"
  action = link_up(node.phone.interface.lte0)
}

expect "the call survives the move" {
  condition     = result.flow.call.longest_gap < duration("2s")
  error_message = "the call was silent for ${humanize(result.flow.call.longest_gap)}"
}
