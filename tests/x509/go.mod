module gangplank.dev/x509

go 1.26.0
