"""Attribution study: how attribution maps agree with vulnerability over many images."""
