# 19.1 what matters outside of tags
must_be_replaced = '&<>'
